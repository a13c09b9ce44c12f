package bot_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/bot/modeltest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// usage asks the route.
func (w *world) usage(query string) (days []bot.Day, next string) {
	w.Helper()
	keys, err := api.ParseKeys([]string{"server:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"})
	w.Must(err)
	mux := http.NewServeMux()
	w.bots.Routes(mux, &api.Gate{Keys: keys})
	r := httptest.NewRequest(http.MethodGet, "/bots/@RBT%23001/usage"+query, nil)
	r.Header.Set("Authorization", "Bearer secret")
	res := httptest.NewRecorder()
	mux.ServeHTTP(res, r)
	var out struct {
		Days []bot.Day
		Next string
	}
	if err := json.Unmarshal(res.Body.Bytes(), &out); err != nil || res.Code != http.StatusOK {
		w.Fatalf("%d %s", res.Code, res.Body)
	}
	return out.Days, out.Next
}

// testTokens: budgets by tokens hold within one answer, and what was spent is
// reported by the day.
func testTokens(w *world) {
	w.conf.Budget = bot.Budget{User: bot.Limit{Tokens: 100}, Robot: bot.Limit{Tokens: 1000}}
	w.restart(w.store)
	jane := w.Login("jane")
	w.model.Always(func(modeltest.Asked) modeltest.Behaviour { return modeltest.Behaviour{Tokens: [2]int{30, 12}} })
	prompts, spoken, given := w.metric(`model_tokens_total{direction="prompt"}`), w.metric(`model_tokens_total{direction="answer"}`), w.metric("model_answers_total")
	for n, want := range []string{you("hello"), you("hello"), you("hello"), bot.DefaultSpent} {
		if got := w.ask(jane, "hello"); got != want {
			w.Errorf("question %d: %q", n, got)
		}
		w.redeliver()
	}
	w.Advance(24 * time.Hour)
	if got := w.ask(jane, "hello"); got != you("hello") {
		w.Errorf("the day after: %q", got)
	}
	prompts, spoken, given = w.metric(`model_tokens_total{direction="prompt"}`)-prompts, w.metric(`model_tokens_total{direction="answer"}`)-spoken, w.metric("model_answers_total")-given
	if prompts != 4*30 || spoken != 4*12 || given != 4 {
		w.Errorf("the metrics count %v tokens of prompts and %v of answers in %v answers, want 120, 48 and 4", prompts, spoken, given)
	}
	today := w.Clock.Now().UTC().Format(time.DateOnly)
	yesterday := w.Clock.Now().Add(-24 * time.Hour).UTC().Format(time.DateOnly)
	days, next := w.usage("")
	if want := []bot.Day{{today, 1, 30, 12}, {yesterday, 3, 90, 36}}; !slices.Equal(days, want) || next != "" {
		w.Errorf("usage %+v, next %q, want %+v", days, next, want)
	}
	if days, next := w.usage("?limit=1"); len(days) != 1 || next != today {
		w.Errorf("the first page is %+v, next %q", days, next)
	} else if days, next = w.usage("?limit=1&after=" + next); len(days) != 1 || days[0].Day != yesterday || next != "" {
		w.Errorf("the second page is %+v, next %q", days, next)
	}
	// Ten robots' worth of users reach the robot's own limit.
	for n := range 40 {
		w.ask(w.Login(fmt.Sprint("user", n)), "hello")
	}
	days, _ = w.usage("")
	if spent := days[0].PromptTokens + days[0].AnswerTokens; spent < 1000 || spent > 1000+42 {
		w.Errorf("spent %d of 1000 tokens", spent)
	}
}

// nextDay advances the clock to the beginning of the next day, whose budgets are whole.
func (w *world) nextDay() {
	now := w.Clock.Now().UTC()
	w.Advance(now.Truncate(24 * time.Hour).Add(24*time.Hour + time.Minute).Sub(now))
}

// testBudgetsAtOnce: however many ask at once, no more answers are given than a budget
// has, and one answer's tokens at most are spent beyond it.
func testBudgetsAtOnce(w *world) {
	const users, most, tokens = 12, 5, 300
	each := [2]int{30, 12}
	w.model.Always(func(modeltest.Asked) modeltest.Behaviour {
		return modeltest.Behaviour{Tokens: each, Slow: 50 * time.Millisecond} // all ask before the first is answered
	})
	w.conf.MaxAnswer = each[0] + each[1]
	w.nextDay()
	ask := func(prefix string) (asked int) {
		w.restart(w.store)
		before := len(w.model.Asked())
		var clients []*imtest.Client
		for n := range users {
			c := w.Login(fmt.Sprint(prefix, n))
			w.tell(c, "hello")
			clients = append(clients, c)
		}
		w.Must(w.App.Settle(w.Context()))
		w.workAtOnce()
		w.hour()
		w.quiet()
		spent := 0
		for n, c := range clients {
			switch got := said(c); {
			case slices.Equal(got, []string{bot.DefaultSpent}):
				spent++
			case !slices.Equal(got, []string{you("hello")}):
				w.Errorf("%s%d was told %q", prefix, n, got)
			}
		}
		if asked = len(w.model.Asked()) - before; asked+spent != users {
			w.Errorf("the model was asked %d times, and %d of %d were told that the budget is spent", asked, spent, users)
		}
		return asked
	}
	w.conf.Budget = bot.Budget{All: bot.Limit{Answers: most}}
	if asked := ask("first"); asked != most {
		w.Errorf("%d answers of %d", asked, most)
	}
	w.nextDay()
	w.conf.Budget = bot.Budget{Robot: bot.Limit{Tokens: tokens}}
	for _, prefix := range []string{"second", "third"} { // what was held is free again
		ask(prefix)
	}
	days, _ := w.usage("")
	if spent := days[0].PromptTokens + days[0].AnswerTokens; spent < tokens || spent >= int64(tokens+each[0]+each[1]) {
		w.Errorf("spent %d of %d tokens", spent, tokens)
	}
}

// testReservationsDie: a process that dies anywhere between a reservation and the
// payment leaves neither an answer that is counted twice nor one that is held for ever.
func testReservationsDie(w *world) {
	const most = 100
	w.conf.Budget = bot.Budget{All: bot.Limit{Answers: most}, User: bot.Limit{Answers: 1}}
	w.nextDay()
	lives := 0
	enginetest.EachDeath(w.T(), w.store, func(t *testing.T, name string, mortal kv.Store) {
		lives++
		c := w.Login("user" + name)
		w.tell(c, "hello")
		w.Must(w.App.Settle(w.Context()))
		w.restart(mortal)
		_ = w.Queue.Work(w.Context(), w.ledger, w.Clock.Now)
		w.restart(w.store)
		for range 3 {
			w.Advance(time.Minute)
			_, err := w.ledger.Sweep(w.Context())
			w.Must(err)
			w.work()
		}
		if got := said(c); !slices.Equal(got, []string{you("hello")}) {
			t.Errorf("told %q", got)
		}
		if got := w.ask(c, "again"); got != bot.DefaultSpent {
			t.Errorf("the second question is answered %q", got)
		}
	})
	w.conf.Budget.User = bot.Limit{}
	w.restart(w.store)
	for n := range most + 1 - lives {
		want := you("hello")
		if n == most-lives {
			want = bot.DefaultSpent
		}
		if got := w.ask(w.Login(fmt.Sprint("late", n)), "hello"); got != want {
			w.Fatalf("after %d answers with a death each, answer %d of the day is %q", lives, lives+n+1, got)
		}
	}
}

// testUserRecords: what is kept of a user is handed out and erased on request: all
// conversations with robots, and what they cost; nothing of anybody else.
func testUserRecords(w *world) {
	w.conf.Budget = bot.Budget{User: bot.Limit{Answers: 2}}
	w.conf.HandOver, w.conf.Human = &people{}, []string{"/human"}
	w.restart(w.store)
	jane, joe := w.Login("jane"), w.Login("joe")
	w.ask(jane, "jane's first words")
	w.ask(joe, "joe's words")
	_, err := jane.SendTo(other, imtest.Draft{Text: "words to another robot"})
	w.Must(err)
	w.work()
	w.ask(jane, "/human")
	w.tell(jane, "words to a person")
	w.work()
	sources := []userdata.Source{bot.UserData}
	export := func(userID string) string {
		w.Helper()
		page, err := userdata.Export(w.Context(), w.store, sources, userID, "", 1000)
		w.Must(err)
		text, err := json.Marshal(page)
		w.Must(err)
		return string(text)
	}
	got := export("jane")
	for _, want := range []string{"jane's first words", "You said: jane's first words", "words to another robot", "words to a person", `"key":"day/`, `"key":"handed/@RBT#001"`} {
		if !strings.Contains(got, want) {
			w.Errorf("the export lacks %q: %s", want, got)
		}
	}
	if strings.Contains(got, "joe") {
		w.Errorf("the export has somebody else's words: %s", got)
	}
	eraser := userdata.NewEraser(w.store, sources, nil, w.Clock.Now)
	for more := true; more; {
		erased, err := eraser.Erase(w.Context(), "jane")
		w.Must(err)
		more = erased.More
	}
	if got := export("jane"); strings.Contains(got, "key") {
		w.Errorf("after an erasure there is %s", got)
	}
	if got := export("joe"); !strings.Contains(got, "joe's words") {
		w.Errorf("of somebody else there is %s", got)
	}
	// Jane is as new, and her robot knows nothing of her; a job that comes once more
	// answers nothing twice.
	told := len(said(jane))
	w.redeliver()
	w.hour()
	if got := said(jane); len(got) != told {
		w.Errorf("after an erasure jane is told %q", got[told:])
	}
	if got, told := w.ask(jane, "hello"), strings.Join(w.last().Texts, " "); got != you("hello") || strings.Contains(told, "words") {
		w.Errorf("told %q, the model was told %q", got, told)
	}
	w.quiet()
}

// testEraseInFlight: a question that waits for its answer when its user is erased is
// answered, and gone with the second pass.
func testEraseInFlight(w *world) {
	jane := w.Login("jane")
	w.ask(jane, "jane's first words")
	_, err := jane.SendTo(robot, imtest.Draft{Text: "jane's late words"})
	w.Must(err)
	w.Must(w.App.Settle(w.Context()))
	w.Erase(w.store, bot.UserData, "jane")
	w.work()
	if got := said(jane); !slices.Contains(got, you("jane's late words")) {
		w.Errorf("told %q", got)
	}
	w.Advance(userdata.Settled)
	if done := w.Erase(w.store, bot.UserData, "jane"); done.Erased == 0 {
		w.Errorf("what was in flight: %+v", done)
	}
	w.redeliver()
	w.hour()
	page, err := userdata.Export(w.Context(), w.store, []userdata.Source{bot.UserData}, "jane", "", 100)
	if w.Must(err); len(page.Records) != 0 {
		w.Errorf("back again: %+v", page.Records)
	}
}

// testCancels: answers that break off are counted as far as they went, and pin
// nothing.
func testCancels(w *world) {
	w.conf.Stream.Silence = time.Hour
	w.conf.Budget = bot.Budget{All: bot.Limit{Tokens: 1_000_000}}
	w.restart(w.store)
	n := enginetest.Size(40, 1000)
	for i := range n {
		user := w.Login(fmt.Sprint("user", i))
		ctx, cancel := context.WithCancel(w.Context())
		w.model.Next(modeltest.Behaviour{Pieces: []string{"One two ", "three "}, Before: func(n int) {
			if n == 2 {
				if i%2 == 0 {
					w.until(user, func(texts []string) bool { return len(texts) == 1 })
				}
				cancel() // the process is told to end
			}
		}, Hang: true})
		w.tell(user, "count")
		w.Must(w.App.Settle(w.Context()))
		_ = w.Queue.Work(ctx, w.ledger, w.Clock.Now)
		cancel()
		w.model.Next(modeltest.Behaviour{Text: "four.", Tokens: [2]int{7, 3}})
		w.Advance(2 * time.Minute)
		_, err := w.ledger.Sweep(w.Context())
		w.Must(err)
		w.work()
	}
	w.hour()
	days, _ := w.usage("") // two where the test comes by midnight
	var answers, tokens int64
	for _, d := range days {
		answers, tokens = answers+d.Answers, tokens+d.PromptTokens+d.AnswerTokens
	}
	least, most := int64(n*10), int64(n*(10+60))
	if answers != int64(n) || tokens <= least || tokens > most {
		w.Errorf("%d cancelled answers cost %+v", n, days)
	}
	w.quiet()
}
