package bot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// told is a call of IM that showed something.
type told struct {
	at    time.Time
	piece string // of a stream, or the whole text of a group's message
	last  bool   // of a stream
}

// inside carries calls to an emulator in the same bubble of time, and keeps note of
// them.
type inside struct {
	emulator http.Handler

	mu      sync.Mutex
	calls   map[string][]time.Time // by path
	refused int                    // for the rate
	told    map[string][]told      // by who reads it
}

func (i *inside) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	at := time.Now()
	res := httptest.NewRecorder()
	i.emulator.ServeHTTP(res, r)
	var in struct {
		To      string `json:"To_Account"`
		GroupID string `json:"GroupId"`
		Chunk   string
		Finish  int
		MsgBody im.MsgBody
	}
	_ = json.Unmarshal(body, &in) // To_Account is a list elsewhere
	i.mu.Lock()
	defer i.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v4/")
	i.calls[path] = append(i.calls[path], at)
	switch {
	case strings.Contains(res.Body.String(), `"ErrorCode":60007`):
		i.refused++
	case path == "openim_robot_http_svc/send_stream_msg":
		i.told[in.To] = append(i.told[in.To], told{at, in.Chunk, in.Finish == 1})
	case path == "openim/modify_group_msg", path == "group_open_http_svc/send_group_msg":
		i.told[in.GroupID] = append(i.told[in.GroupID], told{at: at, piece: in.MsgBody.PlainText()})
	}
	return res.Result(), nil
}

// most is how many calls of an API there were within any second.
func (i *inside) most(path string) int {
	most := 0
	for first, at := range i.calls[path] {
		n := 0
		for _, other := range i.calls[path][first:] {
			if other.Sub(at) < time.Second {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// talker is a model that says a word every 50 ms, as many as the question asks for.
type talker struct {
	mu    sync.Mutex
	ended map[string]time.Time // by question
}

func (m *talker) words(question string) (words []string) {
	n, _ := strconv.Atoi(question[strings.LastIndexByte(question, ' ')+1:])
	for i := range n {
		words = append(words, fmt.Sprintf("word%d ", i))
	}
	return words
}

func (m *talker) Ask(ctx context.Context, q bot.Question, hear func(string)) (bot.Reply, error) {
	question := q.Turns[len(q.Turns)-1].Text
	text := ""
	for _, word := range m.words(question) {
		select {
		case <-ctx.Done():
			return bot.Reply{Text: text}, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		text += word
		hear(text)
	}
	m.mu.Lock()
	m.ended[question] = time.Now()
	m.mu.Unlock()
	return bot.Reply{Text: strings.TrimSpace(text)}, nil
}

// crowd is an instance with a share of IM's rate limits, which are on, in a bubble
// of time.
type crowd struct {
	*testing.T
	im     *inside
	app    *imtest.App
	sigs   *usersig.Signer
	client *im.Client
	model  *talker
	rules  *callback.Mux
	line   *queuetest.Line
	ledger *queue.Ledger
}

func newCrowd(t *testing.T, dir string, share float64) *crowd {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	store, err := boltkv.Open(filepath.Join(dir, "state"), boltkv.Options{})
	must(err)
	t.Cleanup(func() { must(store.Close()) })
	emulator := imtest.NewServer(imtest.Options{Seed: 1})
	t.Cleanup(emulator.Close)
	c := &crowd{
		T: t, im: &inside{emulator: emulator, calls: map[string][]time.Time{}, told: map[string][]told{}},
		app:   emulator.AddApp(imtest.AppConfig{SDKAppID: rulestest.AppID, Key: rulestest.Key}),
		model: &talker{ended: map[string]time.Time{}}, rules: callback.NewMux(), line: &queuetest.Line{},
	}
	c.sigs, err = usersig.NewSigner(rulestest.AppID, rulestest.Key)
	must(err)
	c.client, err = im.NewClient(im.Config{Domain: "http://im.invalid", SDKAppID: rulestest.AppID, Key: rulestest.Key, Admin: rulestest.Admin, Share: share, Transport: c.im})
	must(err)
	must(c.client.CreateRobot(t.Context(), im.Robot{UserID: robot, Nick: "Bot"}))
	c.ledger = queue.NewLedger(store, c.line, nil)
	bot.New(bot.Config{
		Store: store, Jobs: c.ledger, Sends: once.New(store, c.client, nil), Model: c.model,
		IM: c.client, Stream: bot.Stream{Rate: c.client.Rate()}, // as it is deployed
	}).Register(c.rules)
	return c
}

// hear tells the rules of a message, twice.
func (c *crowd) hear(e callback.Event) {
	c.Helper()
	body, err := callback.Encode(e)
	if err != nil {
		c.Fatal(err)
	}
	endpoint, err := callback.NewEndpoint(callback.Config{SDKAppID: rulestest.AppID, Token: rulestest.Token, Mux: c.rules})
	if err != nil {
		c.Fatal(err)
	}
	for range 2 {
		r, err := callback.Signer{SDKAppID: rulestest.AppID, Token: rulestest.Token}.Request(c.Context(), "http://rules.invalid/im", "", body)
		if err != nil {
			c.Fatal(err)
		}
		res := httptest.NewRecorder()
		endpoint.ServeHTTP(res, r)
		if res.Code != http.StatusOK {
			c.Fatalf("%d %s", res.Code, res.Body)
		}
	}
}

// work carries out all jobs at once.
func (c *crowd) work() {
	c.Helper()
	var all sync.WaitGroup
	for {
		j, is := c.line.Next(time.Now())
		if !is {
			break
		}
		encoded, err := queue.Encode(j)
		if err != nil {
			c.Fatal(err)
		}
		all.Go(func() {
			if err := c.ledger.Perform(c.Context(), encoded); err != nil {
				c.Error(err)
			}
		})
	}
	all.Wait()
}

func (c *crowd) login(userID string) *imtest.Client {
	c.Helper()
	sig, err := c.sigs.Sign(userID, 24*time.Hour)
	if err == nil {
		err = c.client.ImportAccount(c.Context(), im.Account{UserID: userID})
	}
	if err != nil {
		c.Fatal(err)
	}
	user, err := c.app.Login(userID, sig, imtest.Device{})
	if err != nil {
		c.Fatal(err)
	}
	return user
}

// TestShare: however many answers are written at once, the instance keeps within
// its share of IM's rate limits: pieces grow with the number of streams, last pieces
// wait for nobody, and nothing is sent that changes nothing. Time is that of a
// bubble, so what is measured is the rule's own doing.
func TestShare(t *testing.T) {
	type many struct {
		users int
		share float64
		most  time.Duration // between two pieces of one message
		all   bool          // are streamed; otherwise they are too many for the share
	}
	crowds := []many{
		{1, 1, 500 * time.Millisecond, true},
		{8, 1, 500 * time.Millisecond, true},
		{60, 0.4, 3 * time.Second, true},
		{24, 0.05, 5 * time.Second, true},
		{20, 0.01, 8 * time.Second, false},
	}
	if enginetest.Full() {
		crowds = append(crowds, many{500, 1, 5 * time.Second, true}, many{120, 0.2, 6 * time.Second, true})
	}
	for _, tt := range crowds {
		dir := t.TempDir()
		t.Run(fmt.Sprintf("%d users, share %v", tt.users, tt.share), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t, dir, tt.share)
				users, questions := make([]*imtest.Client, tt.users), make([]string, tt.users)
				for n := range users {
					users[n] = c.login(fmt.Sprint("user", n))
				}
				time.Sleep(time.Minute)
				for n, user := range users {
					questions[n] = fmt.Sprintf("%d: say %d", n, 100+40*(n%5)) // 5 to 13 s
					m, err := user.SendTo(robot, imtest.Draft{Text: questions[n]})
					if err != nil {
						t.Fatal(err)
					}
					c.hear(&callback.BotOnC2CMessage{
						Base: callback.Base{CallbackCommand: "Bot.OnC2CMessage"}, From: user.UserID(), To: robot, MsgKey: m.Key, MsgSeq: uint32(n), MsgBody: im.Text(questions[n]),
					})
				}
				c.work()
				const path = "openim_robot_http_svc/send_stream_msg"
				if most, allowed := c.im.most(path), int(200*tt.share); most > max(allowed, 1) || c.im.refused > 0 {
					t.Errorf("%d calls within a second of %d, %d refused", most, allowed, c.im.refused)
				}
				pieces, streamed, latest, gaps, longest := 0, 0, time.Duration(0), time.Duration(0), time.Duration(0)
				for n, user := range users {
					want := strings.TrimSpace(strings.Join(c.model.words(questions[n]), ""))
					if got := said(user); len(got) != 1 || got[0] != want {
						t.Fatalf("user %d sees %q", n, got)
					}
					all := c.im.told[user.UserID()]
					if len(all) == 0 {
						continue // sent as a whole
					}
					streamed++
					pieces += len(all)
					for i, piece := range all {
						if piece.piece == "" || piece.last != (i == len(all)-1) {
							t.Errorf("user %d: piece %d of %d is %q, last %v", n, i, len(all), piece.piece, piece.last)
						}
						if i == 0 {
							continue
						}
						took := piece.at.Sub(all[i-1].at)
						gaps, longest = gaps+took, max(longest, took)
						if took > tt.most || took < 400*time.Millisecond && !piece.last {
							t.Errorf("user %d: piece %d of %d follows after %v", n, i, len(all), took)
						}
					}
					latest = max(latest, all[len(all)-1].at.Sub(c.model.ended[questions[n]]))
				}
				// So long as those that end together need.
				if tt.all && latest > 1100*time.Millisecond {
					t.Errorf("a last piece is sent %v after the model ended", latest)
				}
				if (streamed == tt.users) != tt.all || streamed == 0 {
					t.Errorf("%d of %d answers are streamed", streamed, tt.users)
				}
				t.Logf("%d answers in %d pieces, one every %v on average and %v at most, at most %d calls a second, last pieces within %v; %d sent as a whole",
					streamed, pieces, gaps/time.Duration(max(pieces-streamed, 1)), longest, c.im.most(path), latest, tt.users-streamed)
			})
		})
	}
}

// TestEdits: a group's message is edited at most once a second, to the last edit,
// and never to what it shows already.
func TestEdits(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, dir, 1)
		jane := c.login("jane")
		if _, err := jane.CreateGroup("Public", "room", "room"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.client.AddGroupMembers(t.Context(), "room", []string{robot}, true); err != nil {
			t.Fatal(err)
		}
		const question = "say 65"
		c.hear(&callback.BotOnGroupMessage{
			Base: callback.Base{CallbackCommand: "Bot.OnGroupMessage"}, GroupID: "room", Type: im.Public, From: "jane", AtRobots: []string{robot}, MsgSeq: 1, MsgBody: im.Text(question),
		})
		c.work()
		all := c.im.told["room"]
		if len(all) < 3 || !strings.HasSuffix(all[len(all)-1].piece, "word64") {
			t.Fatalf("the group sees %+v", all)
		}
		for i := 1; i < len(all); i++ {
			if took := all[i].at.Sub(all[i-1].at); took < time.Second || all[i].piece == all[i-1].piece {
				t.Errorf("edit %d comes %v after the one before and shows %q", i, took, all[i].piece)
			}
		}
	})
}
