package imtest

import (
	"slices"
	"time"
)

// Options configure a [Server].
type Options struct {
	Clock *Clock // nil: the wall clock
	Seed  uint64 // of every random choice; the same seed, the same choices
	// Control serves /emulator/: an app's state, misbehaviour, console and
	// callbacks, and the clock, to everybody who can reach the server.
	Control bool
	// Origins are the pages' origins, such as http://127.0.0.1:8080, that may use
	// /client/ and /emulator/ from a browser, in addition to the server's own.
	Origins []string
}

// Console has the settings of an app's console that may change while the emulator runs.
type Console struct {
	CallbackURL   string // see AppConfig, as of the others
	CallbackToken string
	Callbacks     []string

	RetryCallbacks                         bool
	BlockC2COnFailure, BlockGroupOnFailure bool
}

// Console returns the current settings.
func (a *App) Console() Console { return *a.console.Load() }

// SetConsole changes the settings; it takes effect with the next callback.
func (a *App) SetConsole(c Console) {
	c.Callbacks = slices.Clone(c.Callbacks)
	a.console.Store(&c)
}

// AppConfig describes an app as its console shows it.
type AppConfig struct {
	SDKAppID   uint32
	Key        string   // the app's SecretKey
	Admins     []string // nil: administrator
	DataCentre string   // "" is the one served at the server's root

	CallbackURL   string // "": no callbacks
	CallbackToken string // "": callbacks carry no signature
	// Callbacks are the commands switched on; nil means all of them.
	Callbacks []string
	// CallbackTimeout is how long IM waits for an answer, in real time on any clock; 0
	// means the documented 2 s.
	CallbackTimeout time.Duration
	// CallbackConnections is how many after-callbacks are in flight at once; 0 means
	// 64. With 1 they arrive in the order of their events.
	CallbackConnections int
	// RetryCallbacks is the console's "retry upon callback failure or response
	// timeout", for after-callbacks; off by default, as there.
	RetryCallbacks bool
	// BlockOnFailure are the console's switches that keep a message from being
	// delivered when its before-callback failed; off by default: IM delivers.
	BlockC2COnFailure, BlockGroupOnFailure bool

	Edition Edition
	// NoBan leaves the console's switch for banning members off (10007).
	NoBan bool
	// NoCommunity leaves the community switch off (11000).
	NoCommunity bool
	// NoPush leaves all-member push off (90045).
	NoPush bool
	// NoBroadcast leaves broadcasts to all AVChatRooms off (10007).
	NoBroadcast bool
	// WebLogins is how many Web devices a user has at once, up to 10 in IM's console; 0
	// means 1. A further login kicks the first device.
	WebLogins int
	// OnePlatform is the console's login mode of one kind of device at once: a login
	// on a platform kicks the user's devices on all others. Otherwise they stay.
	OnePlatform bool
	// WebRooms is how many AVChatRooms one Web device is in at once: joining a further
	// room leaves the one joined first. 0 means 1; negative means no limit.
	WebRooms int
	// RecallWithin is how long clients may recall a message; 0 means the
	// console's default of 2 minutes.
	RecallWithin time.Duration

	// Strict refuses requests in older forms that IM still accepts: the field names
	// Identifier, ShutUpTime and ShutUpAllMember, media elements without UUID, and
	// importmsg's SyncFromOldSystem 1. Without Strict they work.
	Strict bool

	Unknowns Unknowns
	// FirstSeq is the MsgSeq of a group's first message; 0 means 1. After a restart,
	// which loses the emulator's groups, use a larger number, so that a backend that
	// kept its state does not treat new messages as duplicates.
	FirstSeq uint32
	// RatePerAPI is how many calls a second each API accepts; 0 means the documented
	// number, negative no limit.
	RatePerAPI int
	// RoomRate is how many messages a second a group accepts; 0 means the documented
	// 40, negative no limit.
	RoomRate int
}

// Edition is the purchased edition of the app.
type Edition int

// The editions, the largest first.
const (
	Enterprise Edition = iota // everything; the zero value
	ProPlus
	Pro
	Standard
	Trial
)

// Unknowns are switches for questions that the documentation leaves open. The zero
// value is the answer that its newest pages suggest.
type Unknowns struct {
	// DuplicateFails: a duplicate send_group_msg (same Random) or sendmsg (same
	// numbers) is answered with an error instead of the first answer.
	DuplicateFails bool
	// OverLimitFails: the 41st message of a second is refused with 10023 in
	// groups of all types; otherwise AVChatRooms drop it while its sender sees
	// success.
	OverLimitFails bool
	// RetryRenewsTime: a retried callback has a new RequestTime and signature instead
	// of the first ones.
	RetryRenewsTime bool
	// EventTimeAsText: EventTime is written as a string.
	EventTimeAsText bool
	// NoMemberStateTime: OnMemberStateChange carries no EventTime.
	NoMemberStateTime bool
	// UndefinedVerdictRejects: a verdict outside the documented values refuses
	// the message instead of letting it pass.
	UndefinedVerdictRejects bool
	// SDKTypeNames: groups are called Work and Meeting in callbacks instead of
	// Private and ChatRoom.
	SDKTypeNames bool
	// MembersPerAdd is how many members one add_group_member accepts; 0 means 20.
	MembersPerAdd int
	// MissingReceiverIs90012: sendmsg to an account that does not exist is
	// answered with 90012 instead of 20003.
	MissingReceiverIs90012 bool
	// BatchesRepeat: a batchsendmsg with the numbers of an earlier one is sent again;
	// otherwise its receivers get it once, as with sendmsg.
	BatchesRepeat bool
	// StreamsCallBack: a stream's first chunk causes the same callbacks as a sendmsg;
	// otherwise streams cause none.
	StreamsCallBack bool
	// NextAsNumber: the cursor of a Community's members is a number instead of
	// a text.
	NextAsNumber bool
	// KickKeepsSigs: UserSigs issued before a kick are still valid after it; otherwise
	// they are refused with 70052 (269/3853).
	KickKeepsSigs bool
	// MeetingHidesEarlier: users who join a Meeting group do not see its earlier
	// messages (269/18772); otherwise they do (1047/33529).
	MeetingHidesEarlier bool
}
