package imtest

import (
	"context"
	"encoding/json"
	"slices"
	"time"
)

// Device describes the device of a login. A user has one device of each platform, and
// AppConfig.WebLogins Web devices: a further login kicks the first.
type Device struct {
	Platform string // iOS, Android, Web, ...; "" means Web
	IP       string // "" means 127.0.0.1
	// Tips sends the device events of kind tip: changes of groups and of messages.
	Tips bool
	// Resumes sends the device, when its heartbeats resume, the events that it missed:
	// changes of groups and, in AVChatRooms, messages until IM counts the user as
	// offline there. Every device gets other missed messages.
	Resumes bool
}

// Client is a user on one device, with the functions of the client SDK.
type Client struct {
	app      *App
	userID   string
	platform string
	tips     bool
	resumes  bool
	from     origin
	token    string

	// guarded by the app's lock
	gone     bool // logged out, kicked or disconnected
	dark     bool // without heartbeat
	lastBeat time.Time
	darkness int      // how often it went dark
	streams  int      // open event streams of a page
	rooms    []*group // AVChatRooms the device is in, in the order of joining
	watched  map[string]bool
	waited   int      // how many of its events waited for the login
	missed   []*Event // for a device that resumes

	events journal[*Event]
}

// Event is an event that IM sent to a device.
type Event struct {
	// Kind is message, broadcast (to all AVChatRooms), modified, recalled,
	// notification (of the system), kickedOffline, left (taken out of a group),
	// destroyed (the group), muted, unmuted, status (of a user that the device
	// watches), or tip where the device wants tips.
	Kind    string   `json:"kind"`
	GroupID string   `json:"groupId,omitempty"`
	TopicID string   `json:"topicId,omitempty"` // of a mute; a message has its own
	Message *Message `json:"message,omitempty"`
	Notice  string   `json:"notice,omitempty"` // a notification's content
	// Until is the end of a mute.
	Until time.Time `json:"until,omitzero"`
	// Reason is why a device was kicked offline (login: by another one of the user's;
	// platform: by one on another platform; rest: by the REST API), or why a user left a group (kicked or banned).
	Reason string `json:"reason,omitempty"`
	Tip    *Tip   `json:"tip,omitempty"`
	// UserID is the user whose Status is new.
	UserID string  `json:"userId,omitempty"`
	Status *Status `json:"status,omitempty"`
}

// Draft is a message to send.
type Draft struct {
	Text string // one text element; or else
	Body any    // the MsgBody, marshalled as it is

	Random     uint32 // 0: random
	Seq        uint32 // MsgSeq of a one-to-one message; 0: random
	ClientTime int64  // MsgClientTime: Unix seconds on the sender's device; 0: none
	Custom     string // CloudCustomData
	Priority   Priority
	OnlineOnly bool
	TopicID    string
	Mentions   []string // UserIDs, or @all
	// NeedReceipt asks the readers for receipts; see [Client.SendReceipts].
	NeedReceipt bool
	// Extensible lets other users add extensions to the message.
	Extensible bool
}

func (d Draft) body() (json.RawMessage, error) {
	v := d.Body
	if v == nil {
		v = []object{{"MsgType", "TIMTextElem", "MsgContent", object{"Text", d.Text}}}
	}
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fail(10004, "the body does not marshal")
	}
	return body, nil
}

// Login logs a user in. As in IM, it creates the account if it does not exist. Login
// fails with the codes of a refused UserSig.
func (a *App) Login(userID, sig string, d Device) (*Client, error) {
	if err := a.checkSig(userID, sig); err != nil {
		return nil, err
	}
	if d.Platform == "" {
		d.Platform = "Web"
	}
	if d.IP == "" {
		d.IP = "127.0.0.1"
	}
	c := &Client{app: a, userID: userID, platform: d.Platform, tips: d.Tips, resumes: d.Resumes, from: origin{platform: d.Platform, ip: d.IP}}
	a.mu.Lock()
	switch u := a.accounts[userID]; {
	case u == nil:
		a.accounts[userID] = newAccount(userID)
	case u.deleted:
		a.mu.Unlock()
		return nil, fail(70399, "the account was deleted")
	case u.robot:
		a.mu.Unlock()
		return nil, fail(70402, "a robot does not log in")
	}
	u := a.accounts[userID]
	var kicked []object
	for _, other := range a.surplusDevices(u, c.platform) {
		if !other.dark {
			kicked = append(kicked, object{"Platform", other.platform})
		}
		reason := "login"
		if other.platform != c.platform {
			reason = "platform"
		}
		other.push(&Event{Kind: "kickedOffline", Reason: reason})
		a.unlink(other)
	}
	c.token = "c" + a.newID() + a.newID()
	a.sessions[c.token] = c
	u.devices = append(u.devices, c)
	c.waited = len(u.waiting)
	a.flush(c)
	a.tellStatus(u)
	a.mu.Unlock()
	a.stateChanged(c, "Login", "Register", kicked)
	return c, nil
}

// surplusDevices are the user's devices that one more login on a platform kicks.
// The caller holds the lock.
func (a *App) surplusDevices(u *account, platform string) []*Client {
	same := slices.DeleteFunc(slices.Clone(u.devices), func(c *Client) bool { return c.platform != platform })
	most := 1
	if platform == "Web" {
		most = max(a.conf.WebLogins, 1)
	}
	surplus := same[:max(0, len(same)+1-most)]
	for _, c := range u.devices {
		if a.conf.OnePlatform && c.platform != platform {
			surplus = append(surplus, c)
		}
	}
	return surplus
}

// flush gives a device what waited for its user. The caller holds the lock.
func (a *App) flush(c *Client) {
	u := a.accounts[c.userID]
	for _, m := range u.waiting {
		u.seen = append(u.seen, m)
		c.push(&Event{Kind: "message", GroupID: m.GroupID, Message: m})
	}
	u.waiting = nil
}

// Waited returns how many of the device's first events are messages from before its
// login.
func (c *Client) Waited() int {
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	return c.waited
}

// stateChanged tells the backend of a login or its end (1047/34357).
func (a *App) stateChanged(c *Client, action, reason string, kicked []object) {
	from := c.from
	if from.platform == "iOS" {
		from.platform = "IOS" // so spelt in this callback alone
	}
	body := object{"EventTime", a.eventTime(), "Info", object{"Action", action, "To_Account", c.userID, "Reason", reason}}
	if len(kicked) > 0 {
		body = body.with("KickedDevice", kicked)
	}
	a.after(notice{command: "State.StateChange", from: from, body: body})
}

// unlink ends a device's login. Rooms it is in learn of it by the missing
// heartbeat. The caller holds the lock.
func (a *App) unlink(c *Client) {
	if c.gone {
		return
	}
	c.gone = true
	c.events.end()
	delete(a.sessions, c.token)
	if u := a.accounts[c.userID]; u != nil {
		u.devices = slices.DeleteFunc(u.devices, func(x *Client) bool { return x == c })
	}
	a.goDark(c)
	if u := a.accounts[c.userID]; u != nil {
		a.tellStatus(u)
	}
}

// UserID returns the UserID that is logged in.
func (c *Client) UserID() string { return c.userID }

// Token names the device on the server's /client/ routes.
func (c *Client) Token() string { return c.token }

// push tells the device something.
func (c *Client) push(e *Event) { c.events.add(func(int) *Event { return e }) }

// missedKept is how many events are kept for a device without heartbeat.
const missedKept = 1000

// reach tells the device something, or keeps it for when its heartbeats resume. It
// reports whether the device has it now. The caller holds the app's lock.
func (c *Client) reach(e *Event) bool {
	switch {
	case !c.dark:
		c.push(e)
		return true
	case c.resumes && !c.gone:
		if c.missed = append(c.missed, e); len(c.missed) > missedKept {
			c.missed = slices.Clone(c.missed[len(c.missed)-missedKept/2:])
		}
	}
	return false
}

// catchUp tells a device with a heartbeat again what it missed. The caller holds the
// lock.
func (a *App) catchUp(c *Client) {
	u := a.accounts[c.userID]
	for _, e := range c.missed {
		if e.Kind == "message" && u != nil && !slices.Contains(u.seen, e.Message) {
			u.seen = append(u.seen, e.Message)
		}
		c.push(e)
	}
	c.missed = nil
}

// Events returns all events of the device, oldest first.
func (c *Client) Events() []Event {
	events := c.events.all()
	list := make([]Event, len(events))
	for i, e := range events {
		list[i] = *e
	}
	return list
}

// EventsSince returns the device's events after the one with number n, counted from
// 1, and a channel that is closed when there are more; nil if there never will be,
// because the device is logged out.
func (c *Client) EventsSince(n int) ([]Event, <-chan struct{}) {
	events, _, more := c.events.since(n)
	list := make([]Event, len(events))
	for i, e := range events {
		list[i] = *e
	}
	return list, more
}

// Received returns the messages that reached the device, oldest first, as they were
// on arrival.
func (c *Client) Received() []Message {
	var list []Message
	for _, e := range c.Events() {
		if e.Kind == "message" {
			list = append(list, *e.Message)
		}
	}
	return list
}

// Await returns the first event, past or to come, that f accepts.
func (c *Client) Await(ctx context.Context, f func(Event) bool) (Event, error) {
	for n := 0; ; {
		events, _, more := c.events.since(n)
		n += len(events)
		for _, e := range events {
			if f(*e) {
				return *e, nil
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// errLoggedOut has the client SDK's code for a device that is not logged in.
var errLoggedOut = fail(6014, "not logged in")

// alive returns an error unless the device is logged in.
func (c *Client) alive() error {
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	if c.gone {
		return errLoggedOut
	}
	return nil
}

// Send sends a message to a group. Its codes are those of the client SDK where
// they come from the server: 10007, 10010, 10016, 10017, 80002 and so on.
func (c *Client) Send(groupID string, d Draft) (Sent, error) {
	if err := c.alive(); err != nil {
		return Sent{}, err
	}
	body, err := d.body()
	if err != nil {
		return Sent{}, err
	}
	s := groupSend{
		groupID: groupID, topicID: d.TopicID, sender: c.userID, operator: c.userID, random: c.random(d.Random),
		body: body, custom: d.Custom, priority: d.Priority, onlineOnly: d.OnlineOnly, from: c.from, clientTime: d.ClientTime,
		needReceipt: d.NeedReceipt, extensible: d.Extensible,
	}
	for _, id := range d.Mentions {
		if id == "@all" {
			s.mentions = append(s.mentions, mention{GroupAtAllFlag: 1})
		} else {
			s.mentions = append(s.mentions, mention{GroupAt_Account: id})
		}
	}
	return c.app.sendGroup(s)
}

// SendTo sends a message to a user.
func (c *Client) SendTo(userID string, d Draft) (Sent, error) {
	if err := c.alive(); err != nil {
		return Sent{}, err
	}
	body, err := d.body()
	if err != nil {
		return Sent{}, err
	}
	return c.app.sendC2C(c2cSend{
		sender: c.userID, receiver: userID, random: c.random(d.Random), seq: d.Seq, hasSeq: d.Seq != 0, body: body, custom: d.Custom,
		onlineOnly: d.OnlineOnly, from: c.from, clientTime: d.ClientTime, needReceipt: d.NeedReceipt,
		extensible: d.Extensible,
	})
}

func (c *Client) random(given uint32) uint32 {
	if given != 0 {
		return given
	}
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	return c.app.rng.Uint32()
}

// Sent is IM's answer to the sender of a message.
type Sent struct {
	Seq uint32    `json:"seq"`           // MsgSeq
	At  time.Time `json:"at"`            // MsgTime
	Key string    `json:"key,omitempty"` // MsgKey, one-to-one
	ID  string    `json:"id,omitempty"`  // MsgId
}

// Logout ends the login.
func (c *Client) Logout() { c.end("Logout", "Unregister") }

// Disconnect closes the connection in a way that IM notices at once, as a
// closed browser tab does.
func (c *Client) Disconnect() { c.end("Disconnect", "LinkClose") }

func (c *Client) end(action, reason string) {
	a := c.app
	a.mu.Lock()
	if c.gone {
		a.mu.Unlock()
		return
	}
	a.unlink(c)
	a.mu.Unlock()
	a.stateChanged(c, action, reason, nil)
}
