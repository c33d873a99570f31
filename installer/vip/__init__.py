"""Does the address of ``endpoint.mode: kube-vip`` move here? Two named control planes try it before the install.

One holds the address for a while as kube-vip would, another asks for it; then they change roles. Only the two modules
``arp`` and ``question`` open sockets, and only the two verbs of ``vip-probe`` use them.
"""
