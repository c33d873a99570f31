"""The files an install writes, as text: pure functions of versions, configuration and facts."""
