package desk_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

const (
	survey = "How was our help? Answer with a number from 1 to 5."
	linger = 24 * time.Hour
)

func TestLife(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name string
		long bool
		test func(*world)
	}{
		{"Queue", false, testQueue},
		{"Solved", false, testSolved},
		{"SolvedAndKept", true, testSolvedAndKept},
		{"SurveyByMessage", true, testSurveyByMessage},
		{"Transcript", true, testTranscript},
		{"LongTranscript", true, testLongTranscript},
		{"ComesBack", true, testComesBack},
		{"CameBackUnheard", true, testCameBackUnheard},
		{"ClosedForGood", true, testClosedForGood},
		{"ClosedUnsolved", true, testClosedUnsolved},
		{"ClosedUnsolvedDies", true, testClosedUnsolvedDies},
		{"TranscriptRefused", true, testTranscriptRefused},
		{"Merged", true, testMerged},
		{"Earlier", true, testEarlier},
		{"NotesStayInside", true, testNotesStayInside},
		{"NotesEnd", true, testNotesEnd},
		{"Away", true, testAway},
		{"Returns", true, testReturns},
		{"AgentsRoutes", true, testAgentsRoutes},
		{"RecordDies", true, testRecordDies},
		{"RoutesDie", true, testRoutesDie},
		{"LifeAnswersLost", true, testLifeAnswersLost},
		{"Reordered", true, testReordered},
	} {
		for _, k := range []kind{zendeskKind, salesforceKind} {
			tests = append(tests, enginetest.Test{Name: c.name + " " + string(k), Long: c.long, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
				w := newWorld(t, store, clock, k)
				w.conf.Survey, w.conf.Linger, w.conf.QueueNotice = survey, linger, "You are number {place}."
				w.conf.ClosedIsSolved = k == salesforceKind
				c.test(w)
			}})
		}
	}
	enginetest.Run(t, tests)
}

// says has a user say something in a group, and IM tell of it.
func (p *process) says(user, group, text string) im.GroupSent {
	p.Helper()
	body := im.Text(text)
	sent, err := p.chat.SendGroupMsg(p.Context(), im.GroupMsg{GroupID: group, From: user, Body: body, Random: uint32(p.Clock.Now().UnixNano()&0xffffff) + 1})
	p.Must(err)
	p.hears(user, group, text, sent)
	return sent
}

func (p *process) hears(user, group, text string, sent im.GroupSent) {
	p.Helper()
	p.Hear(p.heard)
	p.Heard(&callback.GroupAfterSendMsg{
		Base: callback.Base{CallbackCommand: "Group.CallbackAfterSendMsg"}, GroupID: group, Type: im.Public, From: user, MsgSeq: sent.MsgSeq, MsgTime: callback.Seconds(sent.MsgTime), MsgBody: im.Text(text),
	})
}

// told returns what we said in a group by the event's name, in order.
func (w *world) ours(group, event string) (texts []string) {
	w.Helper()
	for _, m := range w.App.State().Group(group).Messages {
		var mark struct{ Event string }
		_ = json.Unmarshal([]byte(m.Custom), &mark)
		if m.From == admin && mark.Event == event {
			var body im.MsgBody
			w.Must(json.Unmarshal(m.Body, &body))
			texts = append(texts, body.PlainText())
		}
	}
	return texts
}

// at returns the ticket at the desk.
func (w *world) at(id string) desktest.Ticket {
	w.Helper()
	for _, t := range w.fake.Tickets() {
		if t.ID == id {
			return t
		}
	}
	w.Fatal("no ticket " + id)
	return desktest.Ticket{}
}

// transcripts are the notes of a ticket that hold what was said, and the others.
func (w *world) transcripts(id string) (transcripts, others []desktest.Note) {
	w.Helper()
	for _, n := range w.at(id).Notes {
		if n.Public {
			w.Errorf("a note that the requester reads: %q", n.Text)
		}
		if strings.HasPrefix(n.Text, "Transcript of the chat") || len(n.Files) > 0 && strings.Contains(n.Files[0].Name, "transcript") {
			transcripts = append(transcripts, n)
		} else {
			others = append(others, n)
		}
	}
	return transcripts, others
}

// as is a request of a user, or agent.
func (w *world) as(user, method, path, body string) *http.Request {
	w.Helper()
	sig, err := w.Users.Sign(user, time.Hour)
	w.Must(err)
	r := w.post(path, body)
	r.Method = method
	r.Header.Set("Authorization", "UserSig "+user+":"+sig)
	return r
}

// status is what the requester sees his ticket to be.
func (p *process) status(user, id string) string {
	p.Helper()
	a := p.do(p.as(user, http.MethodGet, "/tickets/"+id, ""))
	if a.status != http.StatusOK {
		p.Fatalf("%d %s", a.status, a.text)
	}
	return a.json["status"].(string)
}

// testQueue: who waits is told his place, and a better one, until he has an agent.
func testQueue(w *world) {
	p := w.process(w.store)
	var ids, groups []string
	for i := range 3 {
		p.Advance(time.Second)
		id, group := p.opens(fmt.Sprint("user", i))
		ids, groups = append(ids, id), append(groups, group)
		p.work()
		if got := w.ours(group, "queue"); !slices.Equal(got, []string{fmt.Sprintf("You are number %d.", i+1)}) {
			w.Errorf("user%d is told %q", i, got)
		}
		a := p.do(w.as(fmt.Sprint("user", i), http.MethodGet, "/tickets/"+id, ""))
		if a.json["status"] != "waiting" || a.json["place"] != float64(i+1) {
			w.Errorf("user%d: %s", i, a.text)
		}
	}
	p.hours(1)
	p.told(w.fake.Assign(ids[0], "701"))
	p.work()
	if got := p.status("user0", ids[0]); got != "assigned" {
		w.Errorf("user0 is %s", got)
	}
	p.hours(1)
	for i, want := range []int{1, 2, 2} {
		if got := w.ours(groups[i], "queue"); len(got) != want {
			w.Errorf("user%d is told %q", i, got)
		}
	}
	if got := w.ours(groups[2], "queue"); got[len(got)-1] != "You are number 2." {
		w.Errorf("user2 is told %q", got)
	}
	p.told(w.fake.SetDeleted(ids[1], true))
	p.work()
	p.hours(1)
	if got := w.ours(groups[2], "queue"); got[len(got)-1] != "You are number 1." {
		w.Errorf("user2 is told %q", got)
	}
	p.quiet()
}

// testSolved: a solved ticket asks its requester and has what was said; his answer
// follows, once, and the group ends when it has lingered.
func testSolved(w *world) {
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.told(w.fake.Assign(id, "701"))
	p.work()
	p.says("jane", group, "it says PC LOAD LETTER")
	p.Advance(time.Second)
	p.says("701", group, "load paper")
	p.Advance(time.Second)
	d := w.fake.Solve(id)
	p.told(d)
	p.work()
	p.told(d)
	p.work()
	if got := w.ours(group, "survey"); !slices.Equal(got, []string{survey}) {
		w.Errorf("the survey: %q", got)
	}
	notes, others := w.transcripts(id)
	if len(notes) != 1 || len(others) != 0 {
		w.Fatalf("%d transcripts, others %+v", len(notes), others)
	}
	if text := notes[0].Text; !strings.Contains(text, "jane: it says PC LOAD LETTER\n") || !strings.Contains(text, "701: load paper\n") || strings.Contains(text, greeting) {
		w.Errorf("the transcript:\n%s", text)
	}
	for _, bad := range []string{`{"rating":0}`, `{"rating":6}`, `{"rating":"5"}`, `{"rating":5,"stars":1}`, `{"rating":5,"comment":"` + strings.Repeat("x", 2001) + `"}`} {
		if a := p.do(w.as("jane", http.MethodPost, "/tickets/"+id+"/survey", bad)); a.status != http.StatusBadRequest {
			w.Errorf("%s: %d %s", bad, a.status, a.text)
		}
	}
	if a := p.do(w.as("701", http.MethodPost, "/tickets/"+id+"/survey", `{"rating":5}`)); a.status != http.StatusNotFound && a.status != http.StatusForbidden {
		w.Errorf("an agent answers for his requester: %d %s", a.status, a.text)
	}
	answer := `{"rating":4,"comment":"quick, but rude"}`
	for range 2 {
		if a := p.do(w.as("jane", http.MethodPost, "/tickets/"+id+"/survey", answer)); a.status != http.StatusAccepted {
			w.Errorf("%d %s", a.status, a.text)
		}
		p.work()
	}
	if a := p.do(w.as("jane", http.MethodPost, "/tickets/"+id+"/survey", `{"rating":1}`)); a.status != http.StatusConflict {
		w.Errorf("another answer: %d %s", a.status, a.text)
	}
	_, others = w.transcripts(id)
	if len(others) != 1 || !strings.Contains(others[0].Text, "4 of 5") || !strings.Contains(others[0].Text, "quick, but rude") || w.at(id).Rating != 4 {
		w.Errorf("the rating at the desk: %+v", w.at(id))
	}
	p.Advance(linger)
	p.hours(1)
	if got := w.members(group); got != "none" {
		w.Errorf("in the group after a day: %s", got)
	}
	p.told(w.fake.SetClosed(id, true))
	p.work()
	if notes, _ := w.transcripts(id); len(notes) != 1 {
		w.Errorf("closed after it was solved: %d transcripts", len(notes))
	}
	p.quiet()
}

// testSolvedAndKept: the group of a ticket that is over is left to its requester.
func testSolvedAndKept(w *world) {
	w.conf.KeepClosed = true
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.told(w.fake.Assign(id, "701"))
	p.work()
	p.says("jane", group, "hello")
	p.Advance(time.Second)
	p.told(w.fake.Solve(id))
	p.work()
	p.Advance(2 * linger)
	p.told(w.fake.SetClosed(id, true))
	p.work()
	p.hours(1)
	if got := w.members(group); got != "jane" {
		w.Errorf("in the archived group: %s", got)
	}
	if notes, _ := w.transcripts(id); len(notes) != 1 {
		w.Errorf("%d transcripts", len(notes))
	}
	p.quiet()
}

// testSurveyByMessage: a number is the answer where a client knows no surveys; the
// first counts, in any digits, and never opens the ticket.
func testSurveyByMessage(w *world) {
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.told(w.fake.Assign(id, "701"))
	p.work()
	p.Advance(time.Second)
	p.told(w.fake.Solve(id))
	p.work()
	p.Advance(time.Second)
	sent := p.says("jane", group, "５")
	p.hears("jane", group, "５", sent)
	p.says("701", group, "1")
	p.Advance(time.Second)
	p.says("jane", group, " 2 ")
	p.work()
	if got := w.at(id); got.Rating != 5 || len(got.Notes) != 2 {
		w.Errorf("%+v", got)
	}
	if got := p.status("jane", id); got != "solved" && got != "closed" {
		w.Errorf("the ticket is %s", got)
	}
	p.quiet()
}

// testTranscript: what is in it is what its readers see: masked, recalled, with
// media as links, and nothing of ours.
func testTranscript(w *world) {
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.told(w.fake.Assign(id, "701"))
	p.work()
	element := func(kind, content string) im.MsgBody {
		return im.MsgBody{{MsgType: kind, MsgContent: json.RawMessage(content)}}
	}
	send := func(from string, body im.MsgBody) im.GroupSent {
		w.Helper()
		p.Advance(time.Second)
		_, random := im.Numbers(fmt.Sprint(p.Clock.Now().UnixNano()))
		sent, err := w.chat.SendGroupMsg(w.Context(), im.GroupMsg{GroupID: group, From: from, Body: body, Random: random})
		w.Must(err)
		return sent
	}
	masked := send("jane", im.Text("my card is 4111"))
	w.Must(w.chat.ModifyGroupMsg(w.Context(), group, "", masked.MsgSeq, im.Modification{Body: im.Text("my card is ****")}))
	recalled := send("jane", im.Text("my password"))
	_, err := w.chat.RecallGroupMsgs(w.Context(), group, "", "", []uint32{recalled.MsgSeq})
	w.Must(err)
	send("jane", im.Text("two\nlines"))
	send("jane", element(im.ImageElem, `{"UUID":"u","ImageFormat":1,"ImageInfoArray":[{"Type":3,"Size":1,"Width":1,"Height":1,"URL":"https://cdn.example.com/thumb"},{"Type":1,"Size":1,"Width":1,"Height":1,"URL":"https://cdn.example.com/original"}]}`))
	send("701", element(im.FileElem, `{"Url":"https://cdn.example.com/f","UUID":"u","FileSize":3,"FileName":"driver.zip","Download_Flag":2}`))
	send("jane", element(im.CustomElem, `{"Data":"{}","Desc":"a sticker","Ext":"","Sound":""}`))
	p.told(w.fake.Solve(id))
	p.work()
	notes, _ := w.transcripts(id)
	if len(notes) != 1 {
		w.Fatalf("%d transcripts", len(notes))
	}
	text := notes[0].Text
	for _, want := range []string{
		"jane: my card is ****\n", "jane: (recalled)\n", "jane: two\n    lines\n", "jane: (image https://cdn.example.com/original)\n",
		"701: (file driver.zip https://cdn.example.com/f)\n", "jane: (a sticker)\n", "6 messages",
	} {
		if !strings.Contains(text, want) {
			w.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, not := range []string{"4111", "password", greeting, survey, "number 1"} {
		if strings.Contains(text, not) {
			w.Errorf("%q in\n%s", not, text)
		}
	}
}

// longTranscript is how many messages the longest transcript has.
const longTranscript = 100_000

// testLongTranscript: a conversation of 100,000 messages goes to the desk in parts,
// each message once and in order, although the process dies in between and answers
// are lost.
func testLongTranscript(w *world) {
	line := func(seq uint32) string { return fmt.Sprintf("message %d of a long day 打印机", seq) }
	calls := 0
	w.history = func(q im.GroupHistoryQuery) (page im.GroupHistoryPage) {
		calls++
		const before = 1_795_977_529 // numbers begin anywhere
		newest := q.Newest
		if newest == 0 || newest > before+longTranscript {
			newest = before + longTranscript
		}
		for seq := newest; seq > before && newest-seq < 20; seq-- {
			page.Messages = append(page.Messages, im.GroupHistoryMsg{From: "jane", MsgSeq: seq, MsgTime: int64(seq), Body: im.Text(line(seq - before))})
		}
		if newest > before+20 {
			q.Newest = newest - 20
			page.Next = &q
		}
		return page
	}
	p := w.process(w.store)
	id, _ := p.opens("jane")
	p.told(w.fake.Assign(id, "701"))
	p.work()
	p.told(w.fake.Solve(id))
	w.fake.Fail("file", desktest.Fault{Lost: true}, desktest.Fault{}, desktest.Fault{Status: 429, RetryAfter: "30"})
	mortal, died := kvtest.Mortal(w.store, 10, true)
	w.process(mortal).workUntilDead()
	if !died() {
		w.Error("nothing died")
	}
	p.hours(2)
	notes, others := w.transcripts(id)
	if len(others) != 0 {
		w.Errorf("%d other notes", len(others))
	}
	var text strings.Builder
	var files []desktest.File
	for _, n := range notes {
		files = append(files, n.Files...)
	}
	if len(notes) > 1 { // files of a case, which people sort by their names
		slices.SortFunc(files, func(a, b desktest.File) int { return strings.Compare(a.Name, b.Name) })
	}
	parts := len(files)
	for _, f := range files {
		text.WriteString(f.Text)
		if len(f.Text) > 2<<20 {
			w.Errorf("a part of %d bytes", len(f.Text))
		}
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != longTranscript || parts < 2 {
		w.Fatalf("%d lines in %d parts", len(lines), parts)
	}
	for i, l := range lines {
		if want := "jane: " + line(uint32(i+1)); !strings.HasSuffix(l, want) {
			w.Fatalf("line %d: %q", i+1, l)
		}
	}
	if z, is := w.fake.(*desktest.Zendesk); is && (len(notes) != 1 || z.Calls("note") != 1) {
		w.Errorf("%d notes", len(notes))
	}
	if calls > longTranscript/20*5/4 {
		w.Errorf("%d calls to IM", calls)
	}
	p.quiet()
}

// testComesBack: a requester who writes after the ticket was solved has it opened,
// and the next transcript begins where the first ended.
func testComesBack(w *world) {
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.told(w.fake.Assign(id, "701"))
	p.work()
	p.says("jane", group, "first question")
	p.Advance(time.Second)
	late := w.fake.Solve(id)
	p.told(late)
	p.work()
	p.Advance(time.Minute)
	sent := p.says("jane", group, "second question")
	p.work()
	p.hears("jane", group, "second question", sent)
	p.told(late) // again, and it is history
	p.work()
	if got := p.status("jane", id); got != "assigned" {
		w.Errorf("the ticket is %s", got)
	}
	if got := w.at(id).Status; got == "solved" || got == "Closed" {
		w.Errorf("at the desk it is %s", got)
	}
	if got := w.members(group); got != "701 jane" {
		w.Errorf("in the group: %s", got)
	}
	p.Advance(2 * linger)
	p.hours(1)
	if got := w.members(group); got != "701 jane" {
		w.Errorf("in the group of an open ticket: %s", got)
	}
	p.told(w.fake.Solve(id))
	p.work()
	notes, _ := w.transcripts(id)
	if len(notes) != 2 || strings.Contains(notes[1].Text, "first question") || !strings.Contains(notes[1].Text, "second question") {
		w.Errorf("%+v", notes)
	}
	if got := w.ours(group, "survey"); len(got) != 2 {
		w.Errorf("%d surveys", len(got))
	}
	p.quiet()
}

// testCameBackUnheard: IM told of a message before we knew that its ticket was over.
func testCameBackUnheard(w *world) {
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.told(w.fake.Assign(id, "701"))
	p.work()
	d := w.fake.Solve(id)
	p.Advance(2 * time.Second)
	p.says("jane", group, "it is broken again")
	p.told(d)
	p.work()
	if got := p.status("jane", id); got != "assigned" {
		w.Errorf("the ticket is %s", got)
	}
	p.quiet()
}

// testClosedForGood: Zendesk changes no closed ticket. Its transcript goes into an
// internal follow-up, and a requester who is back gets a follow-up of his own.
func testClosedForGood(w *world) {
	z, is := w.fake.(*desktest.Zendesk)
	if !is {
		w.Skip("a closed case of Salesforce can be changed")
	}
	w.conf.KeepClosed = true
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.told(w.fake.Assign(id, "701"))
	p.work()
	p.says("jane", group, "hello")
	p.Advance(time.Second)
	p.told(z.SetClosed(id, true))
	p.work()
	p.Advance(2 * linger)
	p.hours(1)
	if got := w.members(group); got != "jane" {
		w.Errorf("in the archived group of a closed ticket: %s", got)
	}
	if notes, _ := w.transcripts(id); len(notes) != 0 {
		w.Errorf("%+v", notes)
	}
	w.inFollowUp(id, "hello")
	for _, text := range []string{"it is broken again", "are you there?"} {
		p.Advance(time.Second)
		p.says("jane", group, text)
		p.work()
	}
	list := w.fake.Tickets()
	if len(list) != 3 || list[2].FollowUp != id || list[2].Text != "it is broken again" || w.members(list[2].Group) != "jane" {
		w.Errorf("%+v", list)
	}
	p.quiet()
}

// testMerged: the transcript of a merged ticket lands in the one that goes on with it,
// once, whichever of the two events is told first, and so does the next message.
func testMerged(w *world) {
	z, is := w.fake.(*desktest.Zendesk)
	if !is {
		w.Skip("a merged case of Salesforce is deleted")
	}
	w.conf.KeepClosed = true
	p := w.process(w.store)
	target, _ := p.opens("june")
	for i, closedFirst := range []bool{false, true} {
		user := fmt.Sprint("user", i)
		id, group := p.opens(user)
		p.told(w.fake.Assign(id, "701"))
		p.work()
		p.says(user, group, "question of "+user)
		p.Advance(time.Second)
		merged, closed := z.Merge(id, target)
		told := []desktest.Delivery{merged, closed, merged}
		if closedFirst {
			slices.Reverse(told[:2])
		}
		for _, d := range told {
			p.told(d)
			p.work()
		}
		p.hours(1)
		if notes, _ := w.transcripts(id); len(notes) != 0 {
			w.Errorf("in the merged ticket: %+v", notes)
		}
		notes, _ := w.transcripts(target)
		of := slices.DeleteFunc(notes, func(n desktest.Note) bool { return !strings.Contains(n.Text, "question of "+user) })
		if len(of) != 1 {
			w.Errorf("in the target: %+v", notes)
		}
		if got := w.members(group); got != user {
			w.Errorf("in the group of the merged ticket: %s", got)
		}
		p.told(z.SetStatus(target, "solved"))
		p.work()
		p.Advance(time.Second)
		sent := p.says(user, group, "are you there?")
		p.work()
		p.hears(user, group, "are you there?", sent)
		p.work()
		_, others := w.transcripts(target)
		if len(others) != i+1 || !strings.Contains(others[i].Text, user+" writes in the chat") || len(w.fake.Tickets()) != 2+i || w.at(target).Status != "open" {
			w.Errorf("the next message: %+v, the target is %s", others, w.at(target).Status)
		}
		p.told(z.SetStatus(target, "open"))
		p.work()
	}
	p.quiet()
}

// testAway: outside business hours the requester is told when somebody is there,
// in his own zone, once until then.
func testAway(w *world) {
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	w.Must(err)
	w.conf.Hours, err = desk.ParseHours("Mon-Fri 09:00-18:00", "", tokyo)
	w.Must(err)
	w.conf.Away = "We are back {back}."
	// On a Saturday, whatever the clock of these tests says.
	for now := w.Clock.Now(); now.In(tokyo).Weekday() != time.Saturday; now = w.Clock.Now() {
		w.Advance(time.Hour)
	}
	p := w.process(w.store)
	body := strings.Replace(wish("jane"), `"userId"`, `"timeZone":"Europe/Berlin","userId"`, 1)
	a := p.do(w.post("/createticket", body))
	if a.status != http.StatusOK {
		w.Fatalf("%d %s", a.status, a.text)
	}
	group := a.json["groupId"].(string)
	p.work()
	back, _ := w.conf.Hours.Next(w.Clock.Now())
	berlin, err := time.LoadLocation("Europe/Berlin")
	w.Must(err)
	want := "We are back " + back.In(berlin).Format("Monday 15:04") + "."
	if got := w.ours(group, "away"); !slices.Equal(got, []string{want}) {
		w.Errorf("%q, want %q", got, want)
	}
	if got := w.ours(group, "queue"); len(got) != 0 {
		w.Errorf("told a place while nobody is there: %q", got)
	}
	p.says("jane", group, "hello?")
	p.Advance(time.Second)
	p.says("jane", group, "hello??")
	if got := w.ours(group, "away"); len(got) != 1 {
		w.Errorf("%q", got)
	}
	p.Advance(back.Sub(w.Clock.Now()) + time.Hour)
	p.says("jane", group, "good morning")
	if got := w.ours(group, "away"); len(got) != 1 {
		w.Errorf("in business hours: %q", got)
	}
	p.Advance(10 * time.Hour)
	p.says("jane", group, "good evening")
	if got := w.ours(group, "away"); len(got) != 2 {
		w.Errorf("the next evening: %q", got)
	}
	for _, bad := range []string{"Europe/Berlin; rm", "a b", strings.Repeat("x", 65)} {
		if a := p.do(w.post("/createticket", strings.Replace(wish("june"), `"userId"`, `"timeZone":"`+bad+`","userId"`, 1))); a.status != http.StatusBadRequest {
			w.Errorf("zone %q: %d", bad, a.status)
		}
	}
}

// testReturns: who has an open ticket may have it again instead of another, and
// lists his own.
func testReturns(w *world) {
	p := w.process(w.store)
	id, group := p.opens("jane")
	again := strings.Replace(wish("jane"), `"userId"`, `"reuse":true,"userId"`, 1)
	again = strings.Replace(again, "printer offline", "printer still offline", 1)
	if a := p.do(w.post("/createticket", again)); a.status != http.StatusOK || a.json["ticketId"] != id || a.json["groupId"] != group {
		w.Errorf("%d %s, want ticket %s", a.status, a.text, id)
	}
	p.work()
	if a := p.do(w.post("/createticket", again)); a.status != http.StatusOK || a.json["ticketId"] != id || a.json["groupId"] != group {
		w.Errorf("after its job: %d %s, want ticket %s", a.status, a.text, id)
	}
	named := func(body string) reply {
		r := w.post("/createticket", body)
		r.Header.Set("Idempotency-Key", "jane-again")
		return p.do(r)
	}
	if a := named(again); a.status != http.StatusOK || a.json["ticketId"] != id {
		w.Errorf("under a name: %d %s, want ticket %s", a.status, a.text, id)
	}
	if a := named(strings.Replace(again, "still", "still not", 1)); a.status != http.StatusUnprocessableEntity {
		w.Errorf("another request under the name: %d %s", a.status, a.text)
	}
	p.Advance(time.Second)
	p.told(w.fake.Solve(id))
	p.work()
	if a := named(again); a.status != http.StatusOK || a.json["ticketId"] != id || a.json["groupId"] != group {
		w.Errorf("under the name again: %d %s, want the first answer", a.status, a.text)
	}
	a := p.do(w.post("/createticket", again))
	if a.status != http.StatusOK || a.json["ticketId"] == id {
		w.Errorf("a solved ticket again: %d %s", a.status, a.text)
	}
	p.work()
	list := p.do(w.as("jane", http.MethodGet, "/tickets?limit=1", ""))
	if tickets := list.json["tickets"].([]any); len(tickets) != 1 || tickets[0].(map[string]any)["ticketId"] != a.json["ticketId"] || list.json["next"] == nil {
		w.Errorf("%s", list.text)
	}
	list = p.do(w.as("jane", http.MethodGet, "/tickets?limit=1&after="+list.json["next"].(string), ""))
	if tickets := list.json["tickets"].([]any); len(tickets) != 1 || tickets[0].(map[string]any)["ticketId"] != id {
		w.Errorf("%s", list.text)
	}
	for path, want := range map[string]int{
		"/tickets?userId=june": http.StatusForbidden, "/tickets?limit=0": http.StatusBadRequest, "/tickets/999": http.StatusNotFound, "/tickets/..%2Fx": http.StatusNotFound,
	} {
		if a := p.do(w.as("jane", http.MethodGet, path, "")); a.status != want {
			w.Errorf("%s: %d %s", path, a.status, a.text)
		}
	}
	if a := p.do(w.as("june", http.MethodGet, "/tickets/"+id, "")); a.status != http.StatusNotFound {
		w.Errorf("another's ticket: %d %s", a.status, a.text)
	}
}

// testAgentsRoutes: an agent of a ticket lists his tickets, hands one over, takes
// another in, solves it; nobody else does.
func testAgentsRoutes(w *world) {
	p := w.process(w.store)
	id, group := p.opens("jane")
	p.told(w.fake.Assign(id, "701"))
	p.work()
	p.Advance(time.Second)
	path := "/tickets/" + strings.ReplaceAll(group, "#", "%23")
	if a := p.do(w.as("702", http.MethodPost, path+"/transfer", `{"agentId":"702"}`)); a.status != http.StatusNotFound {
		w.Errorf("a stranger: %d %s", a.status, a.text)
	}
	if a := p.do(w.as("jane", http.MethodPost, path+"/transfer", `{"agentId":"702"}`)); a.status != http.StatusForbidden {
		w.Errorf("the requester: %d %s", a.status, a.text)
	}
	for _, bad := range []string{`{}`, `{"agentId":"a b"}`, `{"agentId":"jane"}`, `{"agentId":"` + strings.Repeat("7", 41) + `"}`, `{"agent":"702"}`} {
		if a := p.do(w.as("701", http.MethodPost, path+"/transfer", bad)); a.status != http.StatusBadRequest {
			w.Errorf("%s: %d %s", bad, a.status, a.text)
		}
	}
	list := p.do(w.as("701", http.MethodGet, "/agents/tickets", ""))
	if tickets := list.json["tickets"].([]any); len(tickets) != 1 || tickets[0].(map[string]any)["groupId"] != group {
		w.Errorf("%s", list.text)
	}
	if a := p.do(w.as("701", http.MethodPost, path+"/agents", `{"agentId":"703"}`)); a.status != http.StatusAccepted {
		w.Errorf("%d %s", a.status, a.text)
	}
	p.work()
	if got := w.members(group); got != "701 703 jane" {
		w.Errorf("in the group: %s", got)
	}
	p.Advance(time.Second)
	w.fake.Fail("update", desktest.Fault{Status: 503})
	if a := p.do(w.as("701", http.MethodPost, path+"/transfer", `{"agentId":"702"}`)); a.status != http.StatusServiceUnavailable || w.members(group) != "701 703 jane" {
		w.Errorf("the desk is away: %d %s", a.status, a.text)
	}
	a := p.do(w.as("701", http.MethodPost, path+"/transfer", `{"agentId":"702"}`))
	p.work()
	if a.status != http.StatusAccepted || a.json["assignee"] != "702" || w.at(id).Assignee != "702" || w.members(group) != "702 jane" {
		w.Errorf("handed over: %d %s; at the desk %s's, in the group %s", a.status, a.text, w.at(id).Assignee, w.members(group))
	}
	if a := p.do(w.as("701", http.MethodPost, path+"/solve", `{}`)); a.status != http.StatusNotFound {
		w.Errorf("who has left: %d %s", a.status, a.text)
	}
	p.Advance(time.Second)
	if a := p.do(w.as("702", http.MethodPost, path+"/solve", `{}`)); a.status != http.StatusAccepted {
		w.Errorf("%d %s", a.status, a.text)
	}
	p.work()
	if got := w.at(id).Status; got != "solved" && got != "Closed" {
		w.Errorf("at the desk: %s", got)
	}
	if a := p.do(w.as("702", http.MethodPost, path+"/transfer", `{"agentId":"701"}`)); a.status != http.StatusConflict && a.status != http.StatusNotFound {
		w.Errorf("a solved ticket: %d %s", a.status, a.text)
	}
	p.Advance(time.Second)
	if a := p.do(w.as("jane", http.MethodPost, path+"/reopen", `{}`)); a.status != http.StatusAccepted {
		w.Errorf("%d %s", a.status, a.text)
	}
	p.work()
	if got := w.members(group); got != "702 jane" {
		w.Errorf("reopened, in the group: %s", got)
	}
	p.quiet()
}
