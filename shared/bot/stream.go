package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/metric"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// IM is the part of IM's REST API that shows answers while they are written;
// [*im.Client] implements it.
type IM interface {
	SendStreamMsg(ctx context.Context, s im.StreamChunk) (msgKey string, err error)
	C2CHistory(ctx context.Context, q im.C2CHistoryQuery) (im.C2CHistoryPage, error)
	ModifyC2CMsg(ctx context.Context, from, to, msgKey string, m im.Modification) error
	ModifyGroupMsg(ctx context.Context, groupID, topicID string, seq uint32, m im.Modification) error
}

// Stream is how answers are shown while they are written.
type Stream struct {
	// Every is the least time between two pieces of a one-to-one message; 0 is
	// DefaultEvery, a negative value sends each piece of the model's answer at once.
	Every time.Duration
	// GroupEvery is the least time between two edits of a group's message; 0 is
	// DefaultGroupEvery.
	GroupEvery time.Duration
	// GroupsWhole sends answers into groups as a whole.
	GroupsWhole bool
	// Rate is how many calls a second this instance may make to each of IM's APIs; 0
	// is DefaultRate. Three quarters are for pieces within messages, the rest for the
	// last pieces of messages.
	Rate float64
	// Silence is how long a model may be silent once a part of its answer is shown; 0
	// is DefaultSilence. After that the message is ended, before IM ends it.
	Silence time.Duration
}

// The defaults of a Stream.
const (
	DefaultEvery      = 400 * time.Millisecond
	DefaultGroupEvery = 1100 * time.Millisecond
	DefaultRate       = 50
	// DefaultSilence is less than the 15 s that IM waits for a piece
	// (269/128596).
	DefaultSilence = 11 * time.Second
)

func (s *Stream) defaults() {
	if s.Every == 0 {
		s.Every = DefaultEvery
	}
	if s.GroupEvery == 0 {
		s.GroupEvery = DefaultGroupEvery
	}
	if s.Rate == 0 {
		s.Rate = DefaultRate
	}
	if s.Silence == 0 {
		s.Silence = DefaultSilence
	}
}

// pace says when messages that are being written may grow, so that all of them in
// this instance together keep within its rate: the more there are, the less often
// each grows, and so the larger its pieces.
type pace struct {
	least time.Duration // between two pieces of one message
	gap   time.Duration // between two pieces of any

	mu     sync.Mutex
	active int       // messages that are being written
	free   time.Time // when the next piece may go
}

const (
	// forPieces is the part of the rate that pieces may use. The rest is kept for
	// last ones, which wait for no turn.
	forPieces = 0.75
	// burst is how much of the pieces' rate may be used at one moment.
	burst = 100 * time.Millisecond
	// slowest bounds what may lie between two pieces of a message: IM ends one that
	// does not grow for 15 s. Where there is no room for one more, an answer is sent
	// as a whole.
	slowest = 6 * time.Second
)

func newPace(least time.Duration, rate float64) *pace {
	return &pace{least: least, gap: time.Duration(float64(time.Second) / (rate * forPieces))}
}

// enter reports whether there is room for one more message, and counts it then.
func (p *pace) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active > 0 && time.Duration(p.active+1)*p.gap > slowest {
		return false
	}
	p.active++
	return true
}

func (p *pace) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active--
}

// every is how long a message does not grow after a piece.
func (p *pace) every() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.least, time.Duration(p.active)*p.gap)
}

// turn takes the next turn and returns when that is.
func (p *pace) turn(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := retry.Latest(now, p.free.Add(-burst))
	p.free = retry.Latest(now, p.free).Add(p.gap)
	return at
}

// writer shows an answer while the model writes it.
type writer struct {
	*draft
	live    bool // it shows something; otherwise the answer is sent as a whole
	pace    *pace
	last    time.Time // when the last piece was sent
	idle    time.Time // and when IM had answered
	turn    time.Time // when the next one may be; zero: nobody has asked yet
	gate    gate
	present *presenter
	prefix  string // what the model said before it called tools
	entered bool   // the pace counts it
}

func (d *draft) writer() *writer {
	w := &writer{draft: d, pace: d.streams, gate: gate{draft: d}, present: d.presenter()}
	if d.m.GroupID != "" {
		w.pace = d.edits
	}
	w.live = d.c.IM != nil && !d.taken && (d.m.GroupID == "" || !d.c.Stream.GroupsWhole && d.m.Type != im.AVRoom)
	return w
}

func (w *writer) close() {
	if w.entered {
		w.pace.leave()
	}
}

var (
	// errSilent: the model said nothing more while IM waited for the next piece.
	errSilent = errors.New("bot: the model fell silent in the middle of an answer")
	// errUnjudged: moderation has no opinion on the answer.
	errUnjudged = errors.New("bot: moderation did not judge the answer")
	// errStore: the store failed while a piece was to be stored.
	errStore = errors.New("bot: a piece was not stored")
)

// listen asks the model and shows what it says. It returns all that was said so
// far and that may be shown, also with an error.
func (w *writer) listen(ctx context.Context, q Question, r rest) (text string, reply Reply, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		mu     sync.Mutex
		latest string
		failed error
	)
	news, ended := make(chan struct{}, 1), make(chan struct{})
	var hear func(string)
	if w.live {
		hear = func(text string) {
			mu.Lock()
			latest = text
			mu.Unlock()
			select {
			case news <- struct{}{}:
			default:
			}
		}
	}
	go func() {
		defer close(ended)
		reply, failed = w.c.Model.Ask(ctx, q, hear)
	}()
	stop := func() { cancel(); <-ended }
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	shown := func() (string, error) {
		mu.Lock()
		defer mu.Unlock()
		return w.gate.pass(ctx, w.present.present(w.prefix+r.joined(clean(latest)), false), false)
	}
	for {
		select {
		case <-news:
		case <-timer.C:
		case <-ended:
			said := w.prefix
			if reply.Text != "" || q.Begun != "" {
				said += r.joined(clean(reply.Text))
			}
			text, err = w.gate.pass(context.WithoutCancel(ctx), w.present.present(said, failed == nil), failed == nil)
			switch {
			case err == nil:
				err = failed
			case !errors.Is(err, ErrBlocked):
				err = fmt.Errorf("%w: %w", errUnjudged, err)
			}
			if w.present.unknown > 0 && failed == nil {
				metric.Citations.Add(float64(w.present.unknown))
			}
			return text, reply, err
		}
		now := time.Now()
		text, err := shown()
		if err == nil || !errors.Is(err, ErrBlocked) { // without an opinion nothing more is shown for now
			err = w.show(ctx, text, now)
		}
		if err == nil && w.begun() && w.m.GroupID == "" && time.Since(w.last) >= w.c.Stream.Silence {
			err = errSilent
		}
		if err != nil && ctx.Err() == nil {
			stop()
			return text, reply, err
		}
		timer.Reset(w.wait(text, now))
	}
}

// begun reports whether a message shows something and goes on.
func (w *writer) begun() bool { return w.live && len(w.Parts) > 0 }

// wait is when to look again after it was looked at a time: where nothing was sent
// although its turn had come, not before the model says more.
func (w *writer) wait(text string, now time.Time) time.Duration {
	quiet := time.Hour
	if w.begun() && w.m.GroupID == "" {
		quiet = time.Until(w.last.Add(w.c.Stream.Silence))
	}
	if due := w.due(); w.live && w.grows(text) && due.After(now) {
		quiet = min(quiet, time.Until(due))
	}
	return max(quiet, time.Millisecond)
}

// grows reports whether a text shows more than IM has confirmed.
func (w *writer) grows(text string) bool {
	if !w.begun() {
		return text != ""
	}
	p := &w.Parts[len(w.Parts)-1]
	return len(text) > p.sent && !p.doubt
}

// due is when the next piece may be sent, or when to ask for its turn.
func (w *writer) due() time.Time {
	if w.turn.IsZero() && w.begun() {
		return w.idle.Add(w.pace.every())
	}
	return w.turn
}

// show sends what is new of the text, unless it is too early for that.
func (w *writer) show(ctx context.Context, text string, now time.Time) error {
	if !w.live || !w.grows(text) || now.Before(w.due()) {
		return nil
	}
	if !w.entered {
		if w.entered = w.pace.enter(); !w.entered {
			w.live = false
			return nil
		}
	}
	if w.turn.IsZero() {
		if w.turn = w.pace.turn(now); now.Before(w.turn) {
			return nil
		}
	}
	return w.pieces(ctx, text, false)
}

// finish stores the whole answer, of the model's text and our own words after it,
// and sends the last piece. What that does not show, deliver does.
func (w *writer) finish(ctx context.Context, text, own string) error {
	w.Said = true
	w.Handed, w.Choices = w.handed, w.choices
	whole := strings.TrimSpace(strings.TrimRight(text, " \n\t") + own)
	if strings.TrimSpace(text) == "" {
		own = whole
	}
	w.Own = min(len(own), len(whole))
	if !w.begun() {
		w.Text, w.Open = whole, false
		return w.store(ctx)
	}
	return w.pieces(ctx, whole, true)
}

// replace stores another answer in place of what was shown. Deliver has the first
// message show it, and empties others.
func (w *writer) replace(ctx context.Context, a answer) error {
	shown := w.Parts
	if len(shown) > 0 {
		first := shown[0]
		first.From, first.To, first.doubt, first.finished = 0, 0, true, false
		a.Parts = []part{first}
		for i, p := range shown[1:] {
			if p.doubt || p.tried || p.Key != "" { // something went out
				a.Withdrawn = append(a.Withdrawn, withdrawn{i + 1, p})
			}
		}
	}
	a.Usage, a.Day = w.Usage, w.Day
	if a.Said {
		a.Own, a.Handed, a.Choices = w.Own, w.Handed, w.Choices
	}
	w.answer = a
	return w.store(ctx)
}

// pieces shows text, as far as a message can hold it in the message that grows,
// and the rest in more of them. Each piece is stored before it is sent.
func (w *writer) pieces(ctx context.Context, text string, last bool) error {
	for {
		if len(w.Parts) == 0 {
			w.Parts = append(w.Parts, part{Since: w.c.Now()})
		}
		p := &w.Parts[len(w.Parts)-1]
		if !strings.HasPrefix(text, w.Text[:min(p.sent, len(w.Text))]) {
			if last { // what is shown was meant otherwise
				return w.replace(ctx, answer{Text: text, Said: true})
			}
			return nil
		}
		end, full := partEnd(text[min(p.From, len(text)):], max(p.sent-p.From, 0))
		end += p.From
		ends := full || last
		if !ends {
			shown := strings.TrimRight(text[:end], " \n\t")
			if p.sent > p.From {
				shown = shown[:len(shown)-lastRune(shown)] // something is left for the last piece
			}
			end = max(len(shown), p.sent)
		}
		// The first piece of a message does not end it: until its key is stored, only
		// that the message is unfinished tells it from older ones.
		begins := ends && w.m.GroupID == "" && p.Key == "" && end > p.From+lastRune(text[p.From:end])
		if begins {
			end -= lastRune(text[p.From:end])
		}
		w.Text, w.Open = text, !last
		if p.doubt || end <= p.sent && !ends {
			if last {
				return w.storePiece(ctx)
			}
			return nil
		}
		p.To = end
		if err := w.storePiece(ctx); err != nil {
			return err
		}
		if end > p.sent {
			if err := w.send(ctx, p, text[p.sent:end], text[p.From:end], ends && !begins); err != nil {
				return err
			}
		}
		if begins && w.begun() && p.Key != "" {
			continue
		}
		rest := strings.TrimLeft(text[end:], " \n\t")
		if !full || p.doubt || rest == "" || len(w.Parts) == MaxParts {
			return nil
		}
		w.Parts = append(w.Parts, part{From: len(text) - len(rest), Since: w.c.Now()})
		w.Parts[len(w.Parts)-1].sent = len(text) - len(rest)
	}
}

func (w *writer) storePiece(ctx context.Context) error {
	err := w.store(ctx)
	if err != nil && !errors.Is(err, errTaken) {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	return err
}

// send sends a piece that is stored. Where it is unknown whether IM has it, the
// history says so; where that fails too, the message is in doubt.
func (w *writer) send(ctx context.Context, p *part, piece, whole string, last bool) error {
	if w.m.GroupID != "" {
		if err := w.untilEdit(ctx); err != nil {
			p.doubt = true
			return nil // the caller sees that ctx has ended
		}
	}
	w.last, w.turn = time.Now(), time.Time{}
	defer func() { w.idle = time.Now() }()
	if w.m.GroupID != "" {
		return w.edit(ctx, p, whole, last)
	}
	key, err := w.c.IM.SendStreamMsg(ctx, im.StreamChunk{From: w.m.Robot, To: w.m.From, Chunk: piece, MsgKey: p.Key, Finish: last})
	switch {
	case err == nil:
		p.Key, p.sent, p.finished = key, p.To, last
		return nil
	case ctx.Err() != nil:
		p.doubt = true
		return nil // the caller sees that ctx has ended
	case !im.MayHaveWorked(err):
		if im.Lasting(err) {
			if p.Key == "" {
				w.unshown(len(w.Parts) - 1) // this app cannot stream; the answer is sent as a whole
			} else {
				p.doubt = true // IM ended the message
			}
		}
		return nil // a later piece brings this one along
	}
	seen, found, err := w.find(ctx, *p)
	switch {
	case err != nil:
		p.doubt = true
	case !found && p.Key == "":
		p.Since = w.c.Now() // nothing went out
	case !found:
		p.doubt = true // somebody took the message back
	case seen.text == whole:
		p.Key, p.sent, p.finished = seen.key, p.To, last && seen.finished
		p.doubt = last && !seen.finished
	case seen.text == whole[:len(whole)-len(piece)]:
		p.Key = seen.key
	default:
		p.Key, p.doubt = seen.key, true
	}
	return nil
}

// untilEdit waits until the group's message may be edited, which for a last piece is
// later than it comes.
func (w *writer) untilEdit(ctx context.Context) error {
	if w.idle.IsZero() {
		return nil
	}
	return retry.Sleep(ctx, time.Until(w.idle.Add(w.c.Stream.GroupEvery)))
}

// unshown makes the answer one that is sent as a whole from a part on.
func (w *writer) unshown(from int) {
	w.live = false
	w.Parts = w.Parts[:from]
}

// edit shows the whole text of a group's message. Both calls may be repeated.
func (w *writer) edit(ctx context.Context, p *part, whole string, last bool) error {
	n := len(w.Parts) - 1
	seq, err := w.groupMessage(ctx, n, whole)
	if tried := p.tried; err == nil && tried {
		err = w.c.IM.ModifyGroupMsg(ctx, w.m.GroupID, w.m.TopicID, seq, im.Modification{Body: im.Text(w.addressed(n, whole))})
	}
	p.tried = true
	switch {
	case err == nil:
		p.sent, p.finished = p.To, last
	case errors.Is(err, once.ErrUnknown), im.Lasting(err):
		p.doubt = true // deliver finds out the same, and gives up
	}
	return nil
}

// groupMessage sends a message of the answer into the group, unless it was sent. The
// first one mentions who asked.
func (d *draft) groupMessage(ctx context.Context, n int, text string) (seq uint32, err error) {
	m := im.GroupMsg{GroupID: d.m.GroupID, TopicID: d.m.TopicID, From: d.m.Robot, Body: im.Text(d.addressed(n, text)), AfterCallback: d.c.AfterCallback}
	if n == 0 && d.m.Type != im.AVRoom {
		m.At = []string{d.m.From}
	}
	sent, err := d.c.Sends.Group(ctx, d.event(n), m)
	return sent.MsgSeq, err
}

// addressed is the text of a message to a group, the first with whom it is for.
func (d *draft) addressed(n int, text string) string {
	if n == 0 {
		return "@" + d.m.From + " " + text
	}
	return text
}

// event names one message of the answer to package once.
func (d *draft) event(n int) string { return fmt.Sprintf("bot/%s/%d", d.m.id(), n) }

// streamed is the custom element that IM makes of a message that is streamed
// (1047/71131).
type streamed struct {
	ChatbotPlugin int      `json:"chatbotPlugin"`
	Src           int      `json:"src"`
	Chunks        []string `json:"chunks"`
	IsFinished    int      `json:"isFinished"`
}

// wholeStream is a streamed message that is complete.
func wholeStream(text string) im.MsgBody {
	data, _ := json.Marshal(streamed{ChatbotPlugin: 2, Src: 2, Chunks: []string{text}, IsFinished: 1}) // texts and numbers
	return im.Custom(string(data), "", "")
}

// seen is a streamed message as the history has it.
type seen struct {
	key, text string
	finished  bool
}

const slack = time.Minute // between IM's clock and ours

// find looks in the history for a part's message: by its MsgKey, or for the
// robot's unfinished message to this user. There is only one, since a conversation
// is answered in order.
func (d *draft) find(ctx context.Context, p part) (is seen, found bool, err error) {
	q := &im.C2CHistoryQuery{Viewer: d.m.From, Peer: d.m.Robot, From: p.Since.Add(-slack).Unix(), To: d.c.Now().Add(slack).Unix()}
	for q != nil {
		page, err := d.c.IM.C2CHistory(ctx, *q)
		if err != nil {
			return seen{}, false, err
		}
		for _, h := range page.Messages {
			if h.From != d.m.Robot || h.Recalled() || p.Key != "" && h.MsgKey != p.Key {
				continue
			}
			s, is := readStream(h.Body)
			if is && (p.Key != "" || s.IsFinished == 0) {
				return seen{h.MsgKey, strings.Join(s.Chunks, ""), s.IsFinished == 1}, true, nil
			}
		}
		q = page.Next
	}
	return seen{}, false, nil
}

func readStream(body im.MsgBody) (s streamed, is bool) {
	if len(body) != 1 || body[0].MsgType != im.CustomElem {
		return s, false
	}
	var content struct{ Data string }
	is = json.Unmarshal(body[0].MsgContent, &content) == nil && json.Unmarshal([]byte(content.Data), &s) == nil && s.ChatbotPlugin != 0
	return s, is
}

// deliver brings the whole answer to where it belongs: it completes the messages
// that were shown, and sends what is in none. All of it may be repeated. What IM
// refuses for good, such as a message into a group that is gone, is dropped.
func (d *draft) deliver(ctx context.Context) error {
	for _, w := range d.Withdrawn {
		if err := d.dropped(ctx, d.withdraw(ctx, w.N, w.part)); err != nil {
			return err
		}
	}
	from := 0
	for i := range d.Parts {
		p := &d.Parts[i]
		if p.From > len(d.Text) {
			break
		}
		if i < len(d.Parts)-1 {
			from = p.To
		} else {
			n, _ := partEnd(d.Text[p.From:], max(p.To-p.From-1, 0)) // it may end where it does
			from = p.From + n
		}
		if p.finished && p.sent == from {
			continue
		}
		if err := d.complete(ctx, i, strings.TrimRight(d.Text[p.From:from], " \n\t")); err != nil {
			return d.dropped(ctx, err)
		}
	}
	if err := d.sendWhole(ctx, len(d.Parts)+len(d.Withdrawn), d.Text[min(from, len(d.Text)):]); err != nil {
		return err
	}
	return d.dropped(ctx, d.offer(ctx))
}

// complete makes a message that was shown show all of its text.
func (d *draft) complete(ctx context.Context, n int, text string) error {
	p := d.Parts[n]
	if d.m.GroupID != "" {
		seq, err := d.groupMessage(ctx, n, text)
		if err != nil || d.c.IM == nil {
			return err
		}
		return d.c.IM.ModifyGroupMsg(ctx, d.m.GroupID, d.m.TopicID, seq, im.Modification{Body: im.Text(d.addressed(n, text))})
	}
	if d.c.IM == nil { // streams were switched off
		return d.sendText(ctx, n, text)
	}
	if p.Key == "" {
		is, found, err := d.find(ctx, p)
		switch {
		case err != nil:
			return err
		case !found:
			return d.sendText(ctx, n, text)
		}
		// Once it is finished, nothing but its key tells it from older ones: the key is
		// stored first, for whoever goes on should this process die behind the call.
		p.Key, d.Parts[n].Key = is.key, is.key
		if err := d.store(ctx); err != nil {
			return err
		}
	}
	return d.c.IM.ModifyC2CMsg(ctx, d.m.Robot, d.m.From, p.Key, im.Modification{Body: wholeStream(text)})
}

// withdraw empties a message that shows what may not be shown, the answer's n-th.
func (d *draft) withdraw(ctx context.Context, n int, p part) error {
	const nothing = "…"
	if d.c.IM == nil { // streams were switched off
		return nil
	}
	if d.m.GroupID != "" {
		seq, err := d.groupMessage(ctx, n, nothing)
		if err != nil {
			return err
		}
		return d.c.IM.ModifyGroupMsg(ctx, d.m.GroupID, d.m.TopicID, seq, im.Modification{Body: im.Text(nothing)})
	}
	if p.Key == "" {
		is, found, err := d.find(ctx, p)
		if err != nil || !found {
			return err
		}
		p.Key = is.key
	}
	return d.c.IM.ModifyC2CMsg(ctx, d.m.Robot, d.m.From, p.Key, im.Modification{Body: wholeStream(nothing)})
}

// maxStreamed bounds a streamed message as it is written: a text in a list in JSON
// in a text in JSON.
const maxStreamed = 9000

// partEnd returns how much of a text one message can show, and whether it then is
// full: more than was sent.
func partEnd(text string, sent int) (end int, full bool) {
	size, most := 0, len(text)
	for i, r := range text {
		switch {
		case r == '"' || r == '\\':
			size += 4
		case r == '\n' || r == '\t':
			size += 3
		case r == '<' || r == '>' || r == '&' || r == '\u2028' || r == '\u2029':
			size += 13
		default:
			size += utf8.RuneLen(r)
		}
		if size > maxStreamed || i+utf8.RuneLen(r) > MaxPart {
			most, full = i, true
			break
		}
	}
	if !full {
		return len(text), false
	}
	if end = edge(text, most); end > sent {
		return end, true
	}
	// All up to that edge was sent, and the last piece has to bring something: words
	// after it, or a part of one that does not fit.
	if i := strings.LastIndexAny(text[:most], " \n\t"); i > sent && strings.TrimSpace(text[sent:i]) != "" {
		return i, true
	}
	return most, true
}

func lastRune(text string) int {
	_, n := utf8.DecodeLastRuneInString(text)
	return n
}

// clean leaves out what is no text.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
}
