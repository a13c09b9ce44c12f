package callback

// StateChange tells that a device of a user logged in or went away. A user with
// several devices has several of these: keep a set, not a switch.
// State.StateChange (1047/34357, 269/2570). Its identity is UserID, Action,
// Reason, EventTime and the platform in Query.
type StateChange struct {
	Base
	Info         StateInfo `json:"Info"`
	KickedDevice []Device  `json:"KickedDevice,omitempty"` // logged out by this login, without an event of their own
	EventTime    Millis    `json:"EventTime,omitempty"`
}

func (*StateChange) happened() {}

// StateInfo says what happened to whom. Actions other than Login, Logout and
// Disconnect exist (a custom status): do not count them as logins.
type StateInfo struct {
	Action string `json:"Action"`
	UserID string `json:"To_Account"`
	Reason string `json:"Reason"` // Register, Unregister, LinkClose, TimeOut
}

// Device is a kind of device: iOS, Android, Web, Windows, iPad, Mac, Linux.
type Device struct {
	Platform string `json:"Platform"`
}
