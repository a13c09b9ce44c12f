package imtest

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// The client SDK's place for pages and for tests in other languages; the routes
// are described in README.md.

func (s *Server) clientRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /client/login", takes(s.webLogin))
	mux.Handle("POST /client/logout", asClient(s, func(c *Client, _ struct{}) (any, error) { c.Logout(); return object{}, nil }))
	mux.Handle("POST /client/disconnect", asClient(s, func(c *Client, _ struct{}) (any, error) { c.Disconnect(); return object{}, nil }))
	mux.Handle("POST /client/vanish", asClient(s, func(c *Client, _ struct{}) (any, error) { c.Vanish(); return object{}, nil }))
	mux.Handle("POST /client/heartbeat", asClient(s, func(c *Client, _ struct{}) (any, error) { return object{}, c.Heartbeat() }))
	mux.Handle("POST /client/create", asClient(s, webCreate))
	mux.Handle("POST /client/join", asClient(s, webJoin))
	mux.Handle("POST /client/quit", asClient(s, func(c *Client, in webGroup) (any, error) { return object{}, c.Quit(in.GroupID) }))
	mux.Handle("POST /client/invite", asClient(s, webInvite))
	mux.Handle("POST /client/admit", asClient(s, func(c *Client, in webAdmit) (any, error) { return object{}, c.Admit(in.GroupID, in.UserID) }))
	mux.Handle("POST /client/send", asClient(s, webSend))
	mux.Handle("POST /client/recall", asClient(s, webRecall))
	mux.Handle("GET /client/history", gives(s.webHistory))
	mux.HandleFunc("GET /client/events", s.webEvents)
	mux.HandleFunc("GET /client/devices/events", s.webDevices)
	return s.guarded(mux)
}

type webCredentials struct {
	SDKAppID uint32 `json:"sdkAppId"`
	UserID   string `json:"userId"`
	UserSig  string `json:"userSig"`
	Platform string `json:"platform"`
}

func (s *Server) webLogin(r *http.Request, in webCredentials) (any, error) {
	app := s.app(in.SDKAppID)
	if app == nil {
		return nil, fail(70020, "no such app")
	}
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	c, err := app.Login(in.UserID, in.UserSig, Device{Platform: in.Platform, IP: ip})
	if err != nil {
		return nil, err
	}
	return object{"token", c.token, "userId", c.userID, "platform", c.platform}, nil
}

// session returns the device that a request speaks for: by its Authorization,
// or by the query, since a browser's EventSource sets no header.
func (s *Server) session(r *http.Request) (*Client, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		token = r.URL.Query().Get("token")
	}
	return s.device(token)
}

// device returns the device that has a token.
func (s *Server) device(token string) (*Client, error) {
	s.mu.Lock()
	apps := make([]*App, 0, len(s.apps))
	for _, a := range s.apps {
		apps = append(apps, a)
	}
	s.mu.Unlock()
	for _, a := range apps {
		a.mu.Lock()
		c := a.sessions[token]
		a.mu.Unlock()
		if c != nil {
			return c, nil
		}
	}
	return nil, errLoggedOut
}

// asClient makes a handler of something a device does.
func asClient[T any](s *Server, f func(c *Client, in T) (any, error)) http.HandlerFunc {
	return takes(func(r *http.Request, in T) (any, error) {
		c, err := s.session(r)
		if err != nil {
			return nil, err
		}
		return f(c, in)
	})
}

type webGroup struct {
	GroupID string `json:"groupId"`
}

type webAdmit struct {
	webGroup
	UserID string `json:"userId"`
}

func webCreate(c *Client, in struct {
	webGroup
	Type string `json:"type"`
	Name string `json:"name"`
},
) (any, error) {
	id, err := c.CreateGroup(in.Type, in.GroupID, in.Name)
	return object{"groupId", id}, err
}

func webJoin(c *Client, in webGroup) (any, error) {
	err := c.Join(in.GroupID)
	if errors.Is(err, ErrAwaitsConsent) {
		return object{"awaitsConsent", true}, nil
	}
	return object{"awaitsConsent", false}, err
}

func webInvite(c *Client, in struct {
	webGroup
	UserIDs []string `json:"userIds"`
},
) (any, error) {
	results, err := c.Invite(in.GroupID, in.UserIDs...)
	return object{"results", results}, err
}

type webDraft struct {
	webGroup
	TopicID    string          `json:"topicId"`
	UserID     string          `json:"userId"`
	Text       string          `json:"text"`
	Body       json.RawMessage `json:"body"`
	Random     uint32          `json:"random"`
	Custom     string          `json:"custom"`
	Priority   Priority        `json:"priority"`
	OnlineOnly bool            `json:"onlineOnly"`
	Mentions   []string        `json:"mentions"`
}

func webSend(c *Client, in webDraft) (any, error) {
	d := Draft{
		Text: in.Text, Random: in.Random, Custom: in.Custom, Priority: in.Priority, OnlineOnly: in.OnlineOnly,
		TopicID: in.TopicID, Mentions: in.Mentions,
	}
	if len(in.Body) > 0 {
		d.Body = in.Body
	}
	switch {
	case (in.UserID == "") == (in.GroupID == ""):
		return nil, fail(10004, "either userId or groupId")
	case in.UserID != "":
		return c.SendTo(in.UserID, d)
	}
	return c.Send(in.GroupID, d)
}

func webRecall(c *Client, in struct {
	webGroup
	TopicID string `json:"topicId"`
	Seq     uint32 `json:"seq"`
	UserID  string `json:"userId"`
	Key     string `json:"key"`
},
) (any, error) {
	switch {
	case (in.UserID == "") == (in.GroupID == ""):
		return nil, fail(10004, "either groupId with seq, or userId with key")
	case in.UserID != "":
		return object{}, c.RecallFrom(in.UserID, in.Key)
	}
	return object{}, c.Recall(in.GroupID, in.TopicID, in.Seq)
}

// webHistory: groupId (and topicId) or userId, before, count.
func (s *Server) webHistory(r *http.Request) (any, error) {
	c, err := s.session(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	count, before := 20, uint64(0)
	if q.Has("count") {
		if count, err = strconv.Atoi(q.Get("count")); err != nil || count < 1 || count > maxHistoryPage {
			return nil, fail(10004, "count is 1 to 100")
		}
	}
	if q.Has("userId") {
		list, err := c.HistoryWith(q.Get("userId"), q.Get("before"), count)
		return object{"messages", list}, err
	}
	if q.Has("before") {
		if before, err = strconv.ParseUint(q.Get("before"), 10, 32); err != nil {
			return nil, fail(10004, "before is a MsgSeq")
		}
	}
	list, err := c.History(q.Get("groupId"), q.Get("topicId"), uint32(before), count)
	return object{"messages", list}, err
}

// webEvents streams what a device is told. While a stream is open the device is
// there; when the last one closes, it has vanished.
func (s *Server) webEvents(w http.ResponseWriter, r *http.Request) {
	after, err := lastEvent(r)
	var c *Client
	if err == nil {
		c, err = s.session(r)
	}
	if err == nil {
		err = c.attach()
	}
	if err != nil {
		refuse(w, webStatus(Code(err)), err)
		return
	}
	defer c.detach()
	stream(s, w, r, &c.events, after, func(e *Event) string { return e.Kind })
}

// attach notes an open stream, which is a heartbeat.
func (c *Client) attach() error {
	c.app.mu.Lock()
	c.streams++
	c.app.mu.Unlock()
	err := c.Heartbeat()
	if err != nil {
		c.detach()
	}
	return err
}

func (c *Client) detach() {
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	if c.streams--; c.streams == 0 {
		c.app.vanish(c)
	}
}
