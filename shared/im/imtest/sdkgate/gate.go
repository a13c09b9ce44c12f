// Package sdkgate connects Tencent's official web Chat SDK (npm: @tencentcloud/chat,
// and tim-js-sdk before it) to the emulator of package imtest, so that a web front end
// runs on a laptop and in CI without Tencent's cloud:
//
//	emulator := imtest.NewServer(imtest.Options{})
//	sdkgate.Mount(emulator, sdkgate.Options{})
//
// and in the page, with the SDK's documented option for a proxy:
//
//	const chat = TencentCloudChat.create({SDKAppID: 1400000000, proxyServer: 'ws://127.0.0.1:8081/ws'})
//
// The gate has no state of IM: users, groups, messages, limits, verdicts, callbacks and
// faults are the emulator's. The SDK's protocol was observed on its own WebSocket on
// loopback and never compared with the real service. The project is not affiliated with
// Tencent; the gate is for testing.
package sdkgate

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// Options configure a gate.
type Options struct {
	// Features is the list of purchased features, as the SDK reads it: a text of binary
	// digits. "" means all features. Which digit is which feature is unknown.
	Features string
	// Sockets is how many sockets may be open at once; 0 means 2000. Further ones are
	// refused with status 503 before the handshake.
	Sockets int
	// MediaBytes and MediaFileBytes bound the uploads that are kept in memory: of all
	// files together, and of one. 0 means 128 MiB and 32 MiB. When the store is full,
	// the oldest files are deleted.
	MediaBytes, MediaFileBytes int64
}

// Limits of a socket.
const (
	mostSockets  = 2000
	maxFrame     = 256 << 10 // bytes; the largest documented message has 12 KB
	mostRequests = 64        // of one socket under way at once
	writeTimeout = 10 * time.Second
	everything   = 64 // binary digits that open all features
)

// pollHold is how long a long poll of an AVChatRoom is held: the SDK gives up after
// some 16 s.
const pollHold = 10 * time.Second

// gate is the http.Handler behind /ws.
type gate struct {
	emulator *imtest.Server
	o        Options
	media    *media
	written  roomMessages

	mu       sync.Mutex
	sockets  map[*socket]bool
	sessions map[string]*session // by a2
	lost     []*session          // those whose device IM has given up, the oldest first
	revival  sync.Mutex
	// merged are the messages inside long merged ones, by their key; mergedKeys has
	// the oldest first.
	merged     map[string]json.RawMessage
	mergedKeys []string
}

// Mount serves the gate at /ws of the emulator's address, and its upload store at
// /media/.
func Mount(emulator *imtest.Server, o Options) {
	if o.Features == "" {
		o.Features = strings.Repeat("1", everything)
	}
	if o.Sockets == 0 {
		o.Sockets = mostSockets
	}
	if o.MediaBytes == 0 {
		o.MediaBytes = mediaBytes
	}
	if o.MediaFileBytes == 0 {
		o.MediaFileBytes = mediaFileBytes
	}
	g := &gate{emulator: emulator, o: o, sockets: make(map[*socket]bool), sessions: make(map[string]*session), merged: make(map[string]json.RawMessage)}
	g.written.encoded = make(map[*imtest.Message]json.RawMessage)
	g.media = newMedia(o, g.allowed)
	emulator.Handle("/media/{key}/{name}", g.media)
	emulator.Handle("/media/{key}/{size}/{name}", g.media)
	emulator.Handle("/ws", g)
	emulator.Handle("/ws/", g)
	if emulator.Controlled() {
		emulator.Handle("POST /emulator/apps/{app}/sockets/cut", http.HandlerFunc(g.cut))
	}
}

// ServeHTTP takes a socket, as long as there are not too many.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.URL.Query().Get("sdkappid"), 10, 32)
	app := g.emulator.App(uint32(id))
	switch {
	case err != nil || app == nil:
		http.Error(w, "sdkappid is not an app of this emulator", http.StatusNotFound)
		return
	case !g.allowed(r):
		http.Error(w, "pages of this origin are not allowed", http.StatusForbidden)
		return
	}
	s := &socket{gate: g, app: app, base: baseOf(r), slots: make(chan struct{}, mostRequests)}
	if !g.take(s) {
		http.Error(w, "too many sockets", http.StatusServiceUnavailable)
		return
	}
	defer g.release(s)
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the origin is checked above
	if err != nil {
		return // Accept has answered
	}
	conn.SetReadLimit(maxFrame)
	g.mu.Lock()
	s.conn = conn
	g.mu.Unlock()
	s.serve(r.Context())
}

// baseOf is the emulator's address as the page knows it.
func baseOf(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// cut breaks all sockets of an app without a word, as a bad network does.
func (g *gate) cut(w http.ResponseWriter, r *http.Request) {
	if !g.allowed(r) {
		http.Error(w, "pages of this origin are not allowed", http.StatusForbidden)
		return
	}
	id, _ := strconv.ParseUint(r.PathValue("app"), 10, 32)
	n := 0
	g.mu.Lock()
	for s := range g.sockets {
		if s.conn != nil && s.app.Config().SDKAppID == uint32(id) {
			go func() { _ = s.conn.CloseNow() }()
			n++
		}
	}
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(fields{"cut": n})
}

// allowed reports whether a page may open a socket: one of this machine, whatever
// its port, since a front end has a server of its own while it is developed; one of
// the emulator's own origin; or one of Options.Origins. Programs send no Origin.
func (g *gate) allowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	u, err := url.Parse(origin)
	switch {
	case origin == "", slices.Contains(g.emulator.Origins(), origin):
		return true
	case err != nil:
		return false
	}
	return u.Host == r.Host || u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1"
}

func (g *gate) take(s *socket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.sockets) >= g.o.Sockets {
		return false
	}
	g.sockets[s] = true
	return true
}

func (g *gate) release(s *socket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sockets, s)
}

// session returns the login that a request speaks for, or nil.
func (g *gate) session(a2, tinyID string) *session {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.sessions[a2]; s != nil && s.tinyID == tinyID {
		return s
	}
	return nil
}

func (g *gate) keep(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sessions[s.a2] = s
}

// end notes that IM tells a session nothing any more. One that neither logged out nor
// was kicked may come back.
func (g *gate) end(s *session) {
	s.mu.Lock()
	over := s.over
	s.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if over {
		delete(g.sessions, s.a2)
		return
	}
	if g.lost = append(g.lost, s); len(g.lost) > keptLost {
		if oldest := g.lost[0]; g.sessions[oldest.a2] == oldest {
			delete(g.sessions, oldest.a2)
		}
		g.lost = g.lost[1:]
	}
}

// tinyIDOf is the number that the SDK knows a user by: the same in each run.
func tinyIDOf(userID string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(userID))
	return strconv.FormatUint(144115000000000000+h.Sum64()%1000000000000, 10)
}

// frame is a request, an answer or a push on the socket.
type frame struct {
	Head head            `json:"head"`
	Body json.RawMessage `json:"body"`
}

type head struct {
	Command    string          `json:"servcmd"`
	Seq        json.RawMessage `json:"seq,omitempty"`
	Identifier string          `json:"identifier,omitempty"`
	UserSig    string          `json:"usersig,omitempty"`
	TinyID     string          `json:"tinyid,omitempty"`
	A2         string          `json:"a2,omitempty"`
}

// socket is one WebSocket of a page. The SDK opens it before it logs in.
type socket struct {
	gate  *gate
	app   *imtest.App
	base  string // the emulator's address, for URLs of uploads
	conn  *websocket.Conn
	slots chan struct{} // requests under way

	mu      sync.Mutex
	session *session
}

// serve reads requests until the socket closes, and answers each.
func (s *socket) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var under sync.WaitGroup
	defer func() {
		cancel()
		_ = s.conn.CloseNow()
		if session := s.loggedIn(); session != nil {
			session.detach(s)
		}
		under.Wait()
	}()
	sends := make(chan frame, mostRequests)
	under.Go(func() {
		for f := range sends {
			s.answer(ctx, f)
			<-s.slots
		}
	})
	defer close(sends)
	for {
		_, raw, err := s.conn.Read(ctx)
		if err != nil {
			return
		}
		var f frame
		if json.Unmarshal(raw, &f) != nil || f.Head.Command == "" {
			_ = s.conn.Close(websocket.StatusUnsupportedData, "a frame is no request")
			return
		}
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		switch {
		case ordered[f.Head.Command]:
			sends <- f
			continue
		case f.Head.Command == pushAck, f.Head.Command == wsLogin:
			// What a page missed is pushed before it asks for anything else: the SDK takes
			// a message that is pushed while it asks for a history as not part of that.
			s.answer(ctx, f)
			<-s.slots
			continue
		}
		under.Go(func() {
			s.answer(ctx, f)
			<-s.slots
		})
	}
}

func (s *socket) loggedIn() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// fields is a JSON object.
type fields = map[string]any

// answer performs a request and writes its answer, of which there is exactly one: a
// second would be taken for a push.
func (s *socket) answer(ctx context.Context, f frame) {
	out, err := s.perform(ctx, f)
	if ctx.Err() != nil || f.Head.Command == pushAck {
		return
	}
	if err != nil {
		out = fields{"ActionStatus": "FAIL", "ErrorCode": imtest.Code(err), "ErrorInfo": infoOf(err)}
	}
	whole := fields{"head": fields{"seq": f.Head.Seq, "servcmd": f.Head.Command}, "body": out}
	if session := s.loggedIn(); session != nil && f.Head.Command == wsLogin {
		session.attach(ctx, s, whole)
		return
	}
	_ = s.write(ctx, whole)
}

// wsLogin begins or resumes a session.
const wsLogin = "im_open_status.wslogin"

// infoOf is IM's text of an error.
func infoOf(err error) string {
	e, ok := err.(*imtest.Error)
	switch {
	case err == nil:
		return ""
	case ok:
		return e.Info
	}
	return err.Error()
}

// write sends one frame: the SDK reads binary ones alone.
func (s *socket) write(ctx context.Context, v any) error {
	b := encoded(v)
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageBinary, b)
}

// request is one request of a user's page.
type request struct {
	ctx  context.Context
	sock *socket
	*session
	body json.RawMessage
}

// read decodes the request's body.
func (r *request) read(into any) error {
	if err := json.Unmarshal(r.body, into); err != nil {
		return &imtest.Error{Code: 60003, Info: "the request does not fit: " + err.Error()}
	}
	return nil
}

// done is the smallest success.
var done = fields{"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}

// ok is a success with fields.
func ok(more fields) fields {
	out := fields{"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}
	for name, value := range more {
		out[name] = value
	}
	return out
}

// perform does what a request asks for. A command that the gate does not know
// succeeds with nothing, and is among the app's calls.
func (s *socket) perform(ctx context.Context, f frame) (fields, error) {
	switch f.Head.Command {
	case wsLogin:
		return s.login(f)
	case "heartbeat.alive", "im_open_status.wshello", "imopenstat.tim_web_report_v2":
		return done, nil
	}
	session := s.loggedIn()
	if session == nil {
		if session = s.gate.session(f.Head.A2, f.Head.TinyID); session == nil {
			return nil, &imtest.Error{Code: 6014, Info: "not logged in"}
		}
	}
	if f.Head.Command == pushAck {
		session.acknowledged(f.Body)
		return nil, nil
	}
	if err := s.app.CheckSig(session.userID, session.userSig); err != nil {
		return nil, err
	}
	r := &request{ctx: ctx, sock: s, session: session, body: f.Body}
	do, known := commands[strings.Replace(f.Head.Command, "million_group_open_http_svc.", "group_open_http_svc.", 1)]
	if exact, has := commands[f.Head.Command]; has {
		do, known = exact, true
	}
	if !known {
		s.app.NoteUnknown("sdk:"+f.Head.Command, f.Body)
		return done, nil
	}
	return do(r)
}

// login starts a session with a UserSig, or resumes one by the a2 and tinyid that
// its login got, on a new socket.
func (s *socket) login(f frame) (fields, error) {
	session := s.gate.session(f.Head.A2, f.Head.TinyID)
	switch {
	case f.Head.UserSig != "":
		client, err := s.app.Login(f.Head.Identifier, f.Head.UserSig, device)
		if err != nil {
			return nil, err
		}
		session = newSession(s.gate, client, f.Head.UserSig)
		s.gate.keep(session)
		session.start()
	case session == nil:
		return nil, &imtest.Error{Code: 70001, Info: "the login is not known; log in again"}
	default:
		if err := s.app.CheckSig(session.userID, session.userSig); err != nil {
			return nil, err
		}
	}
	err := session.resume(s)
	if err != nil {
		if session, err = s.revive(session); err == nil {
			err = session.resume(s)
		}
	}
	if err != nil {
		return nil, &imtest.Error{Code: 70001, Info: "the login has ended; log in again"}
	}
	s.mu.Lock()
	s.session = session
	s.mu.Unlock()
	return ok(fields{
		"TinyId": session.tinyID, "A2Key": session.a2, "InstId": session.instance, "HelloInterval": 120,
		"TimeStamp": s.gate.emulator.Clock().Now().Unix(), "AuthKey": "emulator", "PurchaseBits": s.gate.o.Features,
	}), nil
}

// device is what a page is.
var device = imtest.Device{Platform: "Web", Tips: true, Resumes: true}

// errOver: a page comes back after a logout, a kick, or another one's login.
var errOver = errors.New("sdkgate: the login is over")

// revive logs a page in anew that was away for so long that IM has given its device up.
// The page does not notice: it comes back by a2 and tinyid, as after a short break. It
// is out of its AVChatRooms.
func (s *socket) revive(old *session) (*session, error) {
	if old.finished() {
		return nil, errOver
	}
	g := s.gate
	g.revival.Lock()
	defer g.revival.Unlock()
	if now := g.session(old.a2, old.tinyID); now != old {
		if now == nil {
			return nil, errOver
		}
		return now, nil // the SDK repeats a login that had no answer
	}
	conf := s.app.Config()
	pages := 0
	for _, platform := range s.app.State().User(old.userID).Platforms {
		if platform == device.Platform {
			pages++
		}
		if platform != device.Platform && conf.OnePlatform {
			return nil, errOver
		}
	}
	if pages >= max(conf.WebLogins, 1) {
		return nil, errOver
	}
	client, err := s.app.Login(old.userID, old.userSig, device)
	if err != nil {
		return nil, err
	}
	session := newSession(g, client, old.userSig)
	session.goOn(old)
	g.keep(session)
	session.start()
	return session, nil
}

// token is a text that nobody guesses.
func token() string { return fmt.Sprintf("%s%s", rand.Text(), rand.Text()) }
