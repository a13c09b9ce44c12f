package imtest

// Commands are the REST API's commands, for tests that must cover them all.
func Commands() []string { return sortedKeys(commands) }
