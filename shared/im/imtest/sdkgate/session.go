package sdkgate

import (
	"context"
	"encoding/json"
	"hash/crc32"
	"slices"
	"strconv"
	"sync"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// pushAck is what the SDK answers each push with.
const pushAck = "openim.ws_msg_push_ack"

// How much is kept for a page whose socket is gone, and of what it has sent.
const (
	keptPushes = 1000
	keptSends  = 1000
	keptPolls  = 500
	keptUnread = 100 // of one conversation, at login
	keptLost   = 1000
)

// session is a login of a page: it outlives the socket, which the SDK opens anew
// when it breaks.
type session struct {
	gate     *gate
	client   *imtest.Client
	userID   string
	userSig  string
	tinyID   string
	a2       string
	instance uint32
	ended    chan struct{} // closed when IM tells the device nothing any more

	mu     sync.Mutex
	holder *socket         // whose end is the page's silence
	sock   *socket         // that pushes go to; nil until the login on it is answered
	ctx    context.Context // of the socket
	pushes uint64          // how many there were
	unread []numbered      // pushes without an acknowledgement, oldest first
	sent   []uint32        // Random of what this page has sent: it is not pushed to it
	rooms  map[string]*poll
	over   bool // logged out or kicked
}

// numbered is a push with its number, which the acknowledgement repeats.
type numbered struct {
	n    uint64
	push fields
}

func newSession(g *gate, c *imtest.Client, userSig string) *session {
	s := &session{
		gate: g, client: c, userID: c.UserID(), userSig: userSig, tinyID: tinyIDOf(c.UserID()), a2: token(), rooms: make(map[string]*poll), ended: make(chan struct{}),
	}
	s.instance = crc32.ChecksumIEEE([]byte(s.a2))
	return s
}

// resume notes the socket that a page logs in on, which is a heartbeat. It fails when
// IM has given the login up. Pushes wait until attach.
func (s *session) resume(sock *socket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Under the lock: the end of the broken socket must not silence the device after
	// the new one has woken it.
	s.holder, s.sock = sock, nil
	return s.client.Heartbeat()
}

// attach answers a login on a socket, and sends what was pushed in vain, and from now
// on everything, to it: with the answer the page takes pushes.
func (s *session) attach(ctx context.Context, sock *socket, answer fields) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = sock.write(ctx, answer)
	if s.holder != sock {
		return
	}
	s.sock, s.ctx = sock, ctx
	for _, p := range s.unread {
		_ = sock.write(ctx, p.push)
	}
}

// detach notes that a socket is gone. A page without one has no heartbeat.
func (s *session) detach(sock *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder == sock {
		s.holder, s.sock = nil, nil
		s.client.Vanish()
	}
}

// push sends entries to the page, and keeps them for its next socket until the page
// has acknowledged them. Pushes are written under the lock, in their order.
func (s *session) push(entries ...fields) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushes++
	p := pushFrame(fields{"EventArray": entries, "NeedAck": 1, "SessionData": strconv.FormatUint(s.pushes, 10)})
	s.unread = append(s.unread, numbered{s.pushes, p})
	if len(s.unread) >= 2*keptPushes {
		s.unread = slices.Clone(s.unread[keptPushes:])
	}
	if s.sock != nil {
		_ = s.sock.write(s.ctx, p)
	}
}

// pushOnce sends entries to the page if it has a socket: what IM does not store is not
// repeated, and the SDK would show it twice.
func (s *session) pushOnce(entries ...fields) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sock != nil {
		_ = s.sock.write(s.ctx, pushFrame(fields{"EventArray": entries}))
	}
}

func pushFrame(body fields) fields {
	return fields{"head": fields{"servcmd": "im_open_push.msg_push", "seq": 0}, "body": body}
}

// acknowledged notes that the page has a push, by the SessionData that came with it.
// Those of a broken socket may arrive after the push was repeated on the next one, so
// that their order says nothing.
func (s *session) acknowledged(body json.RawMessage) {
	var in struct{ SessionData string }
	if json.Unmarshal(body, &in) != nil {
		return
	}
	n, err := strconv.ParseUint(in.SessionData, 10, 64)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unread = slices.DeleteFunc(s.unread, func(p numbered) bool { return p.n == n })
}

// sending notes the Random of a message that this page sends.
func (s *session) sending(random uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, random)
	if len(s.sent) > keptSends {
		s.sent = slices.Clone(s.sent[len(s.sent)-keptSends/2:])
	}
}

// own reports whether a message was sent by this page.
func (s *session) own(m *imtest.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.From == s.userID && slices.Contains(s.sent, m.Random)
}

// finish notes that the page is not to come back: it has logged out or was kicked.
func (s *session) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// finished reports whether the page is not to come back, once IM has given it up.
func (s *session) finished() bool {
	<-s.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// goOn takes over what a page knows of a login that IM has given up.
func (s *session) goOn(old *session) {
	old.mu.Lock()
	defer old.mu.Unlock()
	s.a2, s.instance, s.pushes, s.unread, s.sent = old.a2, old.instance, old.pushes, old.unread, old.sent
}

// room returns the queue of an AVChatRoom that this page is in, or nil.
func (s *session) room(groupID string) *poll {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms[groupID]
}

// start has the page told what waits for it, and from now on what happens.
func (s *session) start() {
	n := s.client.Waited()
	for _, m := range s.unreadAtLogin() {
		s.tellMessage(&m)
	}
	go s.pump(n)
}

// pump passes on what IM tells the device after event n, until the login ends.
func (s *session) pump(n int) {
	for {
		events, more := s.client.EventsSince(n)
		n += len(events)
		for i := range events {
			s.tell(&events[i])
		}
		if more == nil {
			s.gate.end(s)
			close(s.ended)
			return
		}
		<-more
	}
}

// unreadAtLogin are the one-to-one messages that the user has not read, the oldest
// first, whether an earlier login received them or they waited for this one: the SDK
// counts what it is pushed. Those of groups are counted in the list of conversations.
func (s *session) unreadAtLogin() (list []imtest.Message) {
	for _, c := range s.client.Conversations() {
		if c.UserID == "" || c.Unread == 0 {
			continue
		}
		page, _ := s.client.HistoryWith(c.UserID, "", keptUnread)
		page = slices.DeleteFunc(page, func(m imtest.Message) bool { return m.From != c.UserID || m.Recalled })
		page = page[:min(len(page), c.Unread)]
		slices.Reverse(page)
		list = append(list, page...)
	}
	slices.SortStableFunc(list, func(x, y imtest.Message) int { return x.Time.Compare(y.Time) })
	return list
}

// encoded writes what the gate made itself, which always marshals.
func encoded(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("sdkgate: an answer does not marshal: " + err.Error())
	}
	return b
}

// roomMessages are the latest messages of AVChatRooms as they are sent: each is
// written once for all pages of its room. It is safe for concurrent use.
type roomMessages struct {
	mu      sync.Mutex
	encoded map[*imtest.Message]json.RawMessage
	order   []*imtest.Message // oldest first
}

// keptRoomMessages is how many written messages are kept for the pages that come to
// them late.
const keptRoomMessages = 256

// of returns a message as it is sent, which write makes.
func (c *roomMessages) of(m *imtest.Message, write func() fields) json.RawMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.encoded[m]; b != nil {
		return b
	}
	b := encoded(write())
	c.encoded[m] = b
	if c.order = append(c.order, m); len(c.order) > keptRoomMessages {
		delete(c.encoded, c.order[0])
		c.order = c.order[1:]
	}
	return b
}

// queue are numbered entries, the first one 1, of which the latest stay: at least
// keptPolls.
type queue struct {
	dropped int
	entries []json.RawMessage
}

func (q *queue) add(entry json.RawMessage) {
	q.entries = append(q.entries, entry)
	if len(q.entries) >= 2*keptPolls {
		q.entries = slices.Clone(q.entries[keptPolls:])
		q.dropped += keptPolls
	}
}

// since returns the entries from number n on, never nil, and the next number.
func (q *queue) since(n int) (entries []json.RawMessage, next int) {
	from := min(max(n-1-q.dropped, 0), len(q.entries))
	return append([]json.RawMessage{}, q.entries[from:]...), q.dropped + len(q.entries) + 1
}

// poll is what an AVChatRoom's long poll has for a page.
type poll struct {
	key string

	mu                 sync.Mutex
	events, broadcasts queue
	wake               chan struct{}
}

func newPoll() *poll { return &poll{key: token(), wake: make(chan struct{})} }

// add appends an event of the room.
func (p *poll) add(entry json.RawMessage) { p.append(&p.events, entry) }

// broadcast appends a message to all rooms.
func (p *poll) broadcast(entry json.RawMessage) { p.append(&p.broadcasts, entry) }

func (p *poll) append(q *queue, entry json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q.add(entry)
	close(p.wake)
	p.wake = make(chan struct{})
}

// since returns the events and broadcasts from two numbers on, the next numbers, and
// a channel that is closed when there are more.
func (p *poll) since(n, b int) (events, broadcasts []json.RawMessage, next, nextB int, wake <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	events, next = p.events.since(n)
	broadcasts, nextB = p.broadcasts.since(b)
	return events, broadcasts, next, nextB, p.wake
}
