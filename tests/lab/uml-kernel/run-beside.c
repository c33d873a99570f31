/*
 * Ours, put before wait_stub_done_seccomp() of arch/um/os-Linux/skas/process.c, which calls it first.
 *
 * A process of the machine is a process of the host, and each of its system calls is a switch to the thread that is
 * its virtual processor and back. When the two are on different processors of the host, which sleep while they have
 * nothing to do, that takes 90 microseconds instead of 10. So every virtual processor stays on one processor of the
 * host, and the process it runs is brought there.
 */
static void run_beside(int pid, int fresh)
{
	static unsigned char homes[1 << 22]; /* by process, one more than the host's processor it was brought to */
	static __thread int pinned;
	int here = uml_curr_cpu() % sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	if (pid <= 0 || pid >= (int)sizeof(homes) || (pinned && !fresh && homes[pid] == here + 1))
		return;
	CPU_ZERO(&set);
	CPU_SET(here, &set);
	if (!pinned)
		syscall(__NR_sched_setaffinity, 0, sizeof(set), &set);
	pinned = 1;
	syscall(__NR_sched_setaffinity, pid, sizeof(set), &set);
	homes[pid] = here + 1;
}

