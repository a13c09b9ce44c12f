package match

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

const feature = "match"

// UserData lists the records that the rule keeps of a user.
var UserData = userdata.Source{
	Feature: feature,
	Forms: []userdata.Form{
		{
			Types: []string{"match:team"}, Partition: "match/team/", Key: teamItem, Holds: "teams, with their members, captain and mode", Does: userdata.TakesOut,
			Why: "a team that is not over is waited for: let the user leave it first, or end it. A group that is not ours is waited for until the user has left it",
		},
		{Partition: "match/team/", Key: "invite/", Holds: "invitations", Does: userdata.Expires, Within: time.Hour, Why: "they hold for five minutes"},
		{Types: []string{"match:lost"}, Partition: "jobs/", Key: "j/team.lost/", Holds: "who lost the connection", Does: userdata.Expires, Within: 25 * time.Hour, Why: "a job"},
	},
	Read:  readTeam,
	Erase: eraseTeam,
}

// users are all whom the item of a team names.
func (tm *team) users() []string {
	list := append(ids(tm.Members), tm.Captain, tm.Told.Captain)
	list = append(append(list, tm.Ready...), tm.Told.Members...)
	list = append(list, tm.Told.Ready...)
	if tm.Start != nil {
		list = append(append(list, tm.Start.Members...), tm.Start.Captain)
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(id string) bool { return id == "" })
}

// note notes that users are about to be named by the item of a team who were not.
func (s *loadedTeam) note(ctx context.Context) error {
	named := s.users()
	for _, id := range without(named, s.noted) {
		if err := userdata.Note(ctx, s.store, id, feature, userdata.Noted{Partition: partition(s.groupID), Key: teamItem}); err != nil {
			return err
		}
	}
	s.noted = named
	return nil
}

func storedTeam(ctx context.Context, store kv.Store, n userdata.Noted) (tm team, item kv.Item, err error) {
	item, err = store.Get(ctx, n.Partition, n.Key)
	if errors.Is(err, kv.ErrNotFound) {
		return tm, item, nil
	}
	if err != nil {
		return tm, item, err
	}
	if err := json.Unmarshal(item.Value, &tm); err != nil {
		return tm, item, fmt.Errorf("match: an item of the store does not decode: %w", err)
	}
	return tm, item, nil
}

// groupOf is the GroupID of a team's place.
func groupOf(n userdata.Noted) string { return strings.TrimPrefix(n.Partition, partition("")) }

// readTeam exports what a team says of one of its members, and nothing of the others.
func readTeam(ctx context.Context, store kv.Store, userID string, n userdata.Noted) (any, error) {
	tm, _, err := storedTeam(ctx, store, n)
	if err != nil || !slices.Contains(tm.users(), userID) {
		return nil, err
	}
	out := map[string]any{"groupId": groupOf(n), "mode": tm.Mode, "status": tm.Status.shown(), "captain": tm.Captain == userID, "ready": slices.Contains(tm.Ready, userID)}
	if i := slices.IndexFunc(tm.Members, func(m Member) bool { return m.UserID == userID }); i >= 0 {
		out["joinedAt"] = time.Unix(tm.Members[i].Joined, 0).UTC()
	}
	return out, nil
}

// eraseTeam takes a user out of a team that is over, or that the user has left.
func eraseTeam(ctx context.Context, store kv.Store, userID string, n userdata.Noted, _ time.Time) (bool, error) {
	tm, item, err := storedTeam(ctx, store, n)
	switch {
	case err != nil || !slices.Contains(tm.users(), userID):
		return false, err
	case !tm.over() && (tm.pending() || tm.Status == GivenUp || tm.Captain == userID || tm.has(userID)):
		return false, userdata.Waits("team " + groupOf(n) + " is " + string(tm.Status.shown()))
	case tm.over():
		// The lists' partitions are named by the mode.
		for _, list := range []string{allTeams, modePartition(tm.Mode)} {
			if _, err := userdata.EraseItems(ctx, store, list, groupOf(n)); err != nil {
				return false, err
			}
		}
	}
	tm.takeOut(userID)
	value, err := json.Marshal(tm)
	if err != nil {
		return false, fmt.Errorf("match: %w", err)
	}
	return true, store.Commit(ctx, n.Partition, kv.NewOp("erase"), kv.Put{Key: n.Key, Value: value, Expires: item.Expires, If: kv.Rev(item.Rev)})
}

// takeOut removes a user who is erased, and the mode of a team that is over, which its
// captain chose.
func (tm *team) takeOut(userID string) {
	if tm.over() && tm.Captain == userID {
		tm.Mode = ""
		if tm.Start != nil {
			tm.Start.Mode = ""
		}
	}
	tm.Members = slices.DeleteFunc(tm.Members, func(m Member) bool { return m.UserID == userID })
	lists, captains := []*[]string{&tm.Ready, &tm.Told.Members, &tm.Told.Ready}, []*string{&tm.Captain, &tm.Told.Captain}
	if tm.Start != nil {
		lists, captains = append(lists, &tm.Start.Members), append(captains, &tm.Start.Captain)
	}
	for _, list := range lists {
		*list = slices.DeleteFunc(*list, func(id string) bool { return id == userID })
	}
	for _, captain := range captains {
		if *captain == userID {
			*captain = ""
		}
	}
}
