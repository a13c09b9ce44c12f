package imtest

// commands are the calls of the REST API, by service and command.
var commands = map[string]command{}
