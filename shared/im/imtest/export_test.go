package imtest

// Commands are the REST API's commands, for tests that must cover them all.
func Commands() []string { return sortedKeys(commands) }

// NotModelled are the documented commands that are missing, with what they are
// for.
func NotModelled() map[string]string { return notModelled }
