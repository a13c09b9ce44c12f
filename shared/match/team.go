package match

import (
	"fmt"
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/retry"
)

// Status is the state of a team.
type Status string

// A team is made, waits for its members, and starts when it has them all. As long
// as the hook cannot have taken a start, a member who leaves opens the team again,
// and its next start is another one.
const (
	Making   Status = "making"   // its group may not be there yet
	Open     Status = "open"     // it waits for members
	Starting Status = "starting" // it is full, and the hook is to be told
	Calling  Status = "calling"  // the hook has been told, perhaps; until it answers, nothing is taken back
	Started  Status = "started"
	Failed   Status = "failed"  // the hook has not started it; with other members it may
	GivenUp  Status = "givenUp" // the hook did not answer for too long: perhaps it has started, perhaps not
	Ended    Status = "ended"
)

// shown is the status as users see it: who waits need not know of calls.
func (s Status) shown() Status {
	if s == Calling {
		return Starting
	}
	return s
}

// Member is a member of a team.
type Member struct {
	UserID string `json:"userId"`
	Joined int64  `json:"joined"` // Unix seconds, by IM's clock
}

// team is the stored state of a team, in one item. IM's group decides who is a member;
// Members and Captain are what was last seen there.
type team struct {
	Asked   string    `json:"asked,omitempty"` // hash of the request that made it
	Mode    string    `json:"mode,omitempty"`
	Size    int       `json:"size"`
	Foreign bool      `json:"foreign,omitempty"` // the group is not ours, and stays
	Life    int64     `json:"life,omitempty"`    // generation of a foreign group
	Status  Status    `json:"status"`
	Refused string    `json:"refused,omitempty"` // why it was never made
	Gone    bool      `json:"gone,omitempty"`    // nothing is left of it in IM
	Private bool      `json:"private,omitempty"` // only invited users see it and join
	Check   bool      `json:"check,omitempty"`   // it starts when all of its members are ready
	Closed  bool      `json:"closed,omitempty"`  // IM lets nobody join the group
	Until   time.Time `json:"until"`             // when it ends, if nothing else happens
	Guard   time.Time `json:"guard"`             // where its entry is on the agenda

	Captain string   `json:"captain"`
	Members []Member `json:"members"` // in the order in which they joined
	Ready   []string `json:"ready,omitempty"`

	Rounds int    `json:"rounds,omitempty"` // starts so far
	Start  *start `json:"start,omitempty"`  // the last of them, unless the team was opened again

	// Release is a start of a team that is over, which the hook may have taken.
	Release *Start `json:"release,omitempty"`

	Told   told    `json:"told"`
	Notice *notice `json:"notice,omitempty"` // to be sent next
}

// start is a start and how far it is.
type start struct {
	Start
	Next time.Time `json:"next,omitzero"` // when the hook is to be called; before that, somebody has it in hand
}

// told is what the team was told last.
type told struct {
	Seq     int      `json:"seq"`
	Status  Status   `json:"status"`
	Captain string   `json:"captain"`
	Members []string `json:"members"`
	Ready   []string `json:"ready,omitempty"`
}

// notice tells a team what it is now, and who came and went since the last one.
// Clients go by Seq: the highest is true.
type notice struct {
	Type    string   `json:"type"` // "team"
	GroupID string   `json:"groupId"`
	Seq     int      `json:"seq"`
	Status  Status   `json:"status"`
	Mode    string   `json:"mode,omitempty"`
	Size    int      `json:"size"`
	Captain string   `json:"captain"`
	Members []string `json:"members"`
	Joined  []string `json:"joined,omitempty"`
	Left    []string `json:"left,omitempty"`
	Ready   []string `json:"ready,omitempty"`
	StartID string   `json:"startId,omitempty"` // where it starts or has started
}

// group is a group as it was seen in IM.
type group struct {
	captain string
	members []Member
}

// ids returns who the members are.
func ids(members []Member) []string {
	list := make([]string, len(members))
	for i, m := range members {
		list[i] = m.UserID
	}
	return list
}

func (tm *team) has(userID string) bool {
	return slices.ContainsFunc(tm.Members, func(m Member) bool { return m.UserID == userID })
}

// over reports whether nothing is left to do, ever.
func (tm *team) over() bool { return tm.Status == Ended && tm.Gone && tm.Release == nil }

// closing reports whether nobody may join the group, because its match has started.
func (tm *team) closing() bool {
	return !tm.Foreign && (tm.Status == Started || tm.Status == GivenUp)
}

// allReady reports whether nobody's consent is missing.
func (tm *team) allReady() bool {
	return !tm.Check || !slices.ContainsFunc(tm.Members, func(m Member) bool { return !slices.Contains(tm.Ready, m.UserID) })
}

// pending reports whether there is something to do now.
func (tm *team) pending() bool {
	switch tm.Status {
	case Making, Starting, Calling:
		return true
	case Ended:
		return !tm.over()
	}
	return tm.Notice != nil || tm.Closed != tm.closing()
}

// lookAt is when somebody has to look at the team again, whatever else happens.
func (tm *team) lookAt(now time.Time) time.Time {
	switch {
	case tm.Start != nil && tm.pending():
		return retry.Latest(now.Add(guardAfter), tm.Start.Next)
	case tm.pending():
		return now.Add(guardAfter)
	case tm.waiting() && !tm.Foreign:
		return earlier(now.Add(lookEvery), tm.Until)
	}
	return tm.Until
}

// waiting reports whether another member, or another one in his place, would
// start the team.
func (tm *team) waiting() bool { return tm.Status == Open || tm.Status == Failed }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// see takes in what was read of the group: its members, and what follows.
func (tm *team) see(groupID string, g group, now time.Time, wait time.Duration) {
	tm.Members, tm.Captain = g.members, g.captain
	in := ids(tm.Members)
	tm.Ready = slices.DeleteFunc(tm.Ready, func(id string) bool { return !slices.Contains(in, id) })
	if tm.Start != nil && (tm.Status == Starting || tm.Status == Failed) && !slices.Equal(in, tm.Start.Members) {
		tm.Status, tm.Start, tm.Until = Open, nil, now.Add(wait)
	}
	switch {
	case tm.Status == Starting, tm.Status == Calling: // the hook decides, or time does
	case !tm.Until.After(now) && !tm.Foreign:
		tm.end()
	case tm.Status == Open && len(in) >= tm.Size && tm.allReady():
		tm.Status = Starting
		tm.Rounds++
		tm.Start = &start{Start: Start{
			ID: fmt.Sprintf("%s/%d", tm.name(groupID), tm.Rounds), GroupID: groupID, Mode: tm.Mode, Size: tm.Size, Captain: tm.Captain, Members: in, At: now,
		}}
	case !tm.Until.After(now):
		tm.Until = now.Add(foreignEvery)
	}
}

// name is what starts and notices of the team are named by: the group's id, with
// its generation where it was used before.
func (tm *team) name(groupID string) string {
	if tm.Life > 1 {
		return fmt.Sprintf("%s/life%d", groupID, tm.Life)
	}
	return groupID
}

// end ends the team. What is left of it in IM has to go.
func (tm *team) end() {
	if tm.Start != nil && (tm.Status == Calling || tm.Status == GivenUp) {
		start := tm.Start.Start
		tm.Release = &start
	}
	tm.Status, tm.Notice, tm.Gone = Ended, nil, tm.Foreign
}

// vanish ends the team because its group is gone.
func (tm *team) vanish() {
	tm.end()
	tm.Gone = true
}

// answered takes in what the hook said to a call. doubt: an earlier call may have
// been taken.
// after is how long the hook has asked to wait.
func (tm *team) answered(a answer, after time.Duration, doubt bool, now time.Time, c Config) {
	late := !tm.Start.At.Add(c.GiveUp).After(now)
	switch {
	case a == accepted:
		tm.Status, tm.Until = Started, now.Add(c.Life)
	case a == refused, late && a == notNow && !doubt:
		tm.Status = Failed
	case late:
		tm.Status, tm.Until = GivenUp, now.Add(c.Life)
	case a == notNow && !doubt:
		tm.Status = Starting
	}
	tm.Start.Next = now.Add(max(startRetryPause(now.Sub(tm.Start.At)), min(after, c.GiveUp)))
}

// startRetryPause is how long to wait before the start hook is retried: half as long as
// the start has waited so far.
func startRetryPause(waited time.Duration) time.Duration {
	return min(max(waited/2, shortestPause), longestPause)
}

// tell makes the next notice, if there is news and none is on its way.
func (tm *team) tell(groupID string) {
	in := ids(tm.Members)
	if tm.Notice != nil || tm.Status == Ended ||
		tm.Status.shown() == tm.Told.Status && tm.Captain == tm.Told.Captain && slices.Equal(in, tm.Told.Members) && slices.Equal(tm.Ready, tm.Told.Ready) {
		return
	}
	tm.Notice = &notice{
		Type: "team", GroupID: groupID, Seq: tm.Told.Seq + 1, Status: tm.Status.shown(), Mode: tm.Mode, Size: tm.Size,
		Captain: tm.Captain, Members: in, Joined: without(in, tm.Told.Members), Left: without(tm.Told.Members, in),
		Ready: slices.Clone(tm.Ready),
	}
	if tm.Start != nil {
		tm.Notice.StartID = tm.Start.ID
	}
}

// hear notes that the notice was sent.
func (tm *team) hear() {
	n := tm.Notice
	tm.Told, tm.Notice = told{n.Seq, n.Status, n.Captain, n.Members, n.Ready}, nil
}

// without returns the ids that are not among the others.
func without(ids, others []string) []string {
	var left []string
	for _, id := range ids {
		if !slices.Contains(others, id) {
			left = append(left, id)
		}
	}
	return left
}
