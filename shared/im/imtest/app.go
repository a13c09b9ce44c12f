package imtest

import (
	"encoding/json"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// App is one app with everything in it.
type App struct {
	conf     AppConfig
	seed     uint64
	clock    *Clock
	started  time.Time
	done     <-chan struct{}
	console  atomic.Pointer[Console]
	post     *postman
	chaos    *chaos
	verifier *usersig.Signer

	// mu guards everything below. It is never held while a callback is sent.
	mu    sync.Mutex
	rng   *rand.Rand
	rates map[string]*slidingWindow
	holdings
	snapshots      map[string]*snapshot // by name
	sessions       map[string]*Client   // by token
	sweeping       bool                 // a check of heartbeats is due
	broadcastTimes slidingWindow
	batched        slidingWindow // receivers of batchsendmsg
	named          int           // ids the server made
	calls          journal[RESTCall]
}

func newApp(s *Server, conf AppConfig) *App {
	verifier, err := usersig.NewSignerAt(conf.SDKAppID, conf.Key, s.clock.Now)
	if err != nil {
		panic("imtest: " + err.Error())
	}
	h := fnv.New64a()
	_, _ = h.Write(strconv.AppendUint(nil, uint64(conf.SDKAppID), 10))
	seed := s.seed ^ h.Sum64()
	a := &App{
		conf: conf, seed: seed, clock: s.clock, started: s.clock.Now(), done: s.done, chaos: newChaos(seed), verifier: verifier,
		calls: journal[RESTCall]{keep: callsKept},
	}
	a.SetConsole(Console{
		CallbackURL: conf.CallbackURL, CallbackToken: conf.CallbackToken, Callbacks: conf.Callbacks, RetryCallbacks: conf.RetryCallbacks,
		BlockC2COnFailure: conf.BlockC2COnFailure, BlockGroupOnFailure: conf.BlockGroupOnFailure,
	})
	a.post = newPostman(a)
	a.snapshots = make(map[string]*snapshot)
	a.empty()
	return a
}

// empty makes the app as new: nothing in it but its admins. The caller holds the
// lock, unless nobody else knows the app.
func (a *App) empty() {
	a.named = 0
	a.rng = rand.New(rand.NewPCG(a.seed, 2))
	a.rates = make(map[string]*slidingWindow)
	a.accounts = make(map[string]*account)
	a.groups = make(map[string]*group)
	a.conversations = make(map[string]*conversation)
	a.sessions = make(map[string]*Client)
	a.pushes = make(map[uint32]push)
	a.pushNames = make(map[string]string)
	a.broadcasts, a.broadcastTimes, a.batched = line{}, slidingWindow{}, slidingWindow{}
	for _, admin := range a.conf.Admins {
		a.accounts[admin] = newAccount(admin)
	}
}

// Reset deletes the app's accounts, groups, messages, REST calls and callbacks, pending
// ones included. It logs every device out and ends all misbehaviour. The console's
// settings, the clock and the snapshots do not change.
func (a *App) Reset() { a.resetTo(nil) }

// resetTo is Reset, to a copy of contents if they are not nil.
func (a *App) resetTo(c *holdings) {
	a.chaos.reset()
	a.post.reset()
	a.calls.clear()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.sessions {
		c.push(&Event{Kind: "kickedOffline", Reason: "rest"})
		c.gone, c.dark = true, true
		c.events.end()
	}
	named := a.named
	a.empty()
	if c != nil {
		a.holdings = c.copied()
		a.named = named // ids are not used again
	}
}

// Config returns the configuration with which the app was added.
func (a *App) Config() AppConfig { return a.conf }

// account is one user of an app.
type account struct {
	id      string
	deleted bool
	robot   bool
	profile map[string]any // Tag -> value
	friends map[string]*friend
	// friendGroups are the user's names for groups of friends, in the order of making.
	friendGroups []string
	blocked      map[string]time.Time // since when
	devices      []*Client            // logged in, oldest first
	seen         []*Message           // everything that reached a device, once each
	waiting      []*Message           // for the next login

	gone map[string]*Message // conversations off the list, each with its last message then

	c2cMutedUntil, groupMutedUntil time.Time
	attributes                     map[string]json.RawMessage // of all-member push
	tags                           []string
	kicked                         time.Time // the last time

	settings map[string]ConversationSetting // by contactKey
	// conversationGroups are names for the user's conversations;
	// lastConversationGroup is the latest one's ID.
	conversationGroups    []ConversationGroup
	lastConversationGroup int
	hidden                map[*Message]bool // that the user does not want to see any more
	customStatus          string
	quiet                 QuietTime
}

// blocks reports whether another user is on the account's blacklist.
func (u *account) blocks(id string) bool {
	_, blocked := u.blocked[id]
	return blocked
}

type friend struct {
	source string
	added  time.Time
	groups []string       // names of the user's friend groups that the friend is in
	tags   map[string]any // Tag -> value
}

func newAccount(id string) *account {
	return &account{
		id: id, profile: make(map[string]any), friends: make(map[string]*friend),
		blocked: make(map[string]time.Time), attributes: make(map[string]json.RawMessage),
		gone: make(map[string]*Message), settings: make(map[string]ConversationSetting),
	}
}

// user returns a live account, or nil. The caller holds the lock.
func (a *App) user(id string) *account {
	if u := a.accounts[id]; u != nil && !u.deleted {
		return u
	}
	return nil
}

// newID makes an id of the server's own, the same in the same run of a seed.
// The caller holds the lock.
func (a *App) newID() string {
	a.named++
	return strconv.FormatUint(uint64(a.rng.Uint32())|1<<32, 36) + strconv.FormatInt(int64(a.named), 36)
}

// RESTCall is a REST call that was performed or refused.
type RESTCall struct {
	N       int       `json:"n"`
	At      time.Time `json:"at"`
	Command string    `json:"command"` // service/command
	Body    string    `json:"body"`
	Code    int       `json:"code"`              // 0: success
	Unknown []string  `json:"unknown,omitempty"` // fields that IM does not know and ignored
}

const callsKept = 2000

func (a *App) noteREST(c RESTCall) {
	c.At = a.clock.Now()
	a.calls.add(func(n int) RESTCall {
		c.N = n
		return c
	})
}

// Calls returns the latest REST calls, oldest first, at least the last two
// thousand of them. Refusals before the command (a wrong UserSig, a rate) are
// not among them.
func (a *App) Calls() []RESTCall { return a.calls.all() }
