package desk

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func assigned(minute int, agent, previous string) Change {
	return Change{What: Assigned, UserID: agent, At: at(minute), Previous: previous}
}

// who are the agents who should be in, "down" where there should be no group.
func (t *ticket) who(keep bool) string {
	up, in := t.wanted(policy{keep: keep})
	if !up {
		return "down"
	}
	return strings.Join(slices.Sorted(maps.Keys(in)), " ")
}

func TestChanges(t *testing.T) {
	for _, c := range []struct {
		name    string
		changes []Change
		want    string
	}{
		{"nothing", nil, ""},
		{"assigned", []Change{assigned(1, "a", "")}, "a"},
		{"handed on", []Change{assigned(1, "a", ""), assigned(2, "b", "")}, "b"},
		{"taken away", []Change{assigned(1, "a", ""), assigned(2, "", "")}, ""},
		{"and back", []Change{assigned(1, "a", ""), assigned(2, "b", ""), assigned(3, "a", "")}, "a"},
		{"told the wrong way round", []Change{assigned(2, "b", "a"), assigned(1, "a", Nobody)}, "b"},
		{"told late that nobody had it", []Change{assigned(2, "b", ""), assigned(1, "", "")}, "b"},
		{"two in one second", []Change{assigned(1, "a", Nobody), assigned(1, "b", "a")}, "b"},
		{"two in one second, the wrong way round", []Change{assigned(1, "b", "a"), assigned(1, "a", Nobody)}, "b"},
		{"there and back in one second", []Change{assigned(1, "a", ""), assigned(2, "b", "a"), assigned(2, "a", "b")}, "a"},
		{"two in one second, and no word of the one before", []Change{assigned(1, "a", ""), assigned(1, "b", "")}, "b"},
		{"joined", []Change{{What: Joined, UserID: "a", At: at(1)}, {What: Joined, UserID: "b", At: at(1)}}, "a b"},
		{"left", []Change{{What: Joined, UserID: "a", At: at(1)}, {What: Left, UserID: "a", At: at(2)}}, ""},
		{"left, told first", []Change{{What: Left, UserID: "a", At: at(2)}, {What: Joined, UserID: "a", At: at(1)}}, ""},
		{"left and another joined, the wrong way round", []Change{
			{What: Joined, UserID: "a", At: at(1)}, {What: Joined, UserID: "b", At: at(2)}, {What: Left, UserID: "a", At: at(2)},
		}, "b"},
		{"joined before the assignment, told after", []Change{assigned(2, "b", ""), {What: Joined, UserID: "a", At: at(1)}}, "b"},
		{"joined beside the assignee", []Change{assigned(1, "b", ""), {What: Joined, UserID: "a", At: at(2)}}, "a b"},
		{"closed", []Change{assigned(1, "a", ""), {What: Closed, At: at(2)}}, "down"},
		{"reopened", []Change{assigned(1, "a", ""), {What: Closed, At: at(2)}, {What: Reopened, At: at(3)}}, "a"},
		{"closed and reopened, told the wrong way round", []Change{{What: Reopened, At: at(3)}, {What: Closed, At: at(2)}, assigned(1, "a", "")}, "a"},
		{"assigned while closed", []Change{{What: Closed, At: at(1)}, assigned(2, "b", ""), {What: Reopened, At: at(3)}}, "b"},
		{"deleted", []Change{assigned(1, "a", ""), {What: Deleted, At: at(2)}, {What: Reopened, At: at(3)}}, "down"},
		{"undeleted", []Change{assigned(1, "a", ""), {What: Deleted, At: at(2)}, {What: Undeleted, At: at(3)}}, "a"},
		{"undeleted, and still closed", []Change{{What: Closed, At: at(1)}, {What: Deleted, At: at(2)}, {What: Undeleted, At: at(3)}}, "down"},
		{"the requester is no agent", []Change{assigned(1, "user", "")}, ""},
	} {
		tk := ticket{UserID: "user"}
		for _, change := range c.changes {
			tk.apply(change)
		}
		if got := tk.who(false); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		for _, change := range c.changes { // all of it again changes nothing
			if change.What == Assigned && change.Previous == "" && len(c.changes) > 1 {
				continue // of one second, and nothing tells them apart
			}
			tk.apply(change)
		}
		if got := tk.who(false); got != c.want {
			t.Errorf("%s, twice: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestAnyOrder: whatever order changes of different times come in, and however
// often, the end is the same.
func TestAnyOrder(t *testing.T) {
	kinds := []What{Assigned, Assigned, Assigned, Joined, Left, Closed, Reopened, Deleted, Undeleted}
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var changes []Change
		for minute := range 12 {
			c := Change{What: kinds[rng.IntN(len(kinds))], At: at(minute)}
			if c.What == Assigned || c.What == Joined || c.What == Left {
				c.UserID = string(rune('a' + rng.IntN(4)))
			}
			changes = append(changes, c)
		}
		var first ticket
		for _, c := range changes {
			first.apply(c)
		}
		for range 10 {
			again := append(slices.Clone(changes), changes[:rng.IntN(len(changes))]...)
			rng.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
			var other ticket
			for _, c := range again {
				other.apply(c)
			}
			if a, b := first.who(true), other.who(true); a != b {
				t.Fatalf("seed %d: %q in order, %q as %v", seed, a, b, again)
			}
		}
	}
}

func TestClosedKept(t *testing.T) {
	tk := ticket{UserID: "user"}
	tk.apply(assigned(1, "a", ""))
	tk.apply(Change{What: Closed, At: at(2)})
	if got := tk.who(true); got != "" {
		t.Errorf("in the group of a closed ticket: %q", got)
	}
	tk.apply(Change{What: Deleted, At: at(3)})
	if got := tk.who(true); got != "down" {
		t.Errorf("in the group of a deleted ticket: %q", got)
	}
}

// TestAgentsForgotten: a ticket that many have worked on stays small.
func TestAgentsForgotten(t *testing.T) {
	var tk ticket
	for day := range 400 {
		tk.apply(Change{What: Assigned, UserID: strings.Repeat("x", 1+day%32), At: noon.AddDate(0, 0, day)})
	}
	if len(tk.Agents) > 3 {
		t.Errorf("%d agents are remembered", len(tk.Agents))
	}
}

func TestChangesThatCannotBe(t *testing.T) {
	good := Change{ID: "e1", TicketID: "35436", What: Assigned, UserID: "361"}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Change){
		"no ticket":        func(c *Change) { c.TicketID = "" },
		"a path":           func(c *Change) { c.TicketID = "../1" },
		"unknown":          func(c *Change) { c.What = "exploded" },
		"nobody joined":    func(c *Change) { c.What, c.UserID = Joined, "" },
		"an id with blank": func(c *Change) { c.UserID = "a b" },
		"an id too long":   func(c *Change) { c.UserID = strings.Repeat("a", 33) },
		"no event":         func(c *Change) { c.ID = "" },
		"a long event":     func(c *Change) { c.ID = strings.Repeat("a", 129) },
	} {
		c := good
		spoil(&c)
		if err := c.check(); fault.CodeOf(orFine(err)) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func orFine(err error) error {
	if err == nil {
		return fault.New(fault.Internal, "accepted")
	}
	return err
}
