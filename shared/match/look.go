package match

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// loadedTeam is a team as it was read, with the condition that its item is unchanged.
type loadedTeam struct {
	*Teams
	team
	groupID string
	cond    kv.Cond
	stored  []byte
	noted   []string // users whom the stored item names
	// past: what is stored is of an earlier group of this id, and says nothing
	// of this one.
	past bool
}

const teamItem = "team"

func partition(groupID string) string { return "match/team/" + groupID }

func (t *Teams) load(ctx context.Context, groupID string) (*loadedTeam, error) {
	s := &loadedTeam{Teams: t, groupID: groupID, cond: kv.Absent()}
	item, err := t.store.Get(ctx, partition(groupID), teamItem)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return s, nil
	case err != nil:
		return s, err
	}
	s.cond, s.stored = kv.Rev(item.Rev), item.Value
	if err := json.Unmarshal(item.Value, &s.team); err != nil {
		return s, fmt.Errorf("match: an item of the store does not decode: %w", err)
	}
	if s.Foreign && s.Life != 0 {
		// IM lets others use the id of a dissolved group again; our own are random.
		life, err := t.lives.Current(ctx, groupID)
		if err != nil {
			return s, err
		}
		if s.past = life.Number != s.Life; s.past {
			s.team = team{}
		}
	}
	s.noted = s.users()
	return s, nil
}

// none reports whether there is no such team.
func (s *loadedTeam) none() bool { return s.cond.WantsAbsent() || s.past }

// save writes the team down if it has changed. Whoever is faster with another
// change makes it fail with kv.ErrConflict.
func (s *loadedTeam) save(ctx context.Context) error {
	now := s.now()
	// The guard comes before the commit that it guards.
	if at := s.lookAt(now); !s.over() && (!s.Guard.After(now) || s.Guard.After(at)) {
		if err := s.process.Guard(ctx, s.groupID, at); err != nil {
			return err
		}
		s.Guard = at
	}
	value, err := json.Marshal(s.team)
	if err != nil {
		return fmt.Errorf("match: %w", err)
	}
	if bytes.Equal(value, s.stored) {
		return nil
	}
	if err := s.note(ctx); err != nil {
		return err
	}
	put := kv.Put{Key: teamItem, Value: value, If: s.cond}
	if s.over() {
		put.Expires = now.Add(kept)
	}
	op := kv.NewOp("match")
	if err := s.store.Commit(ctx, partition(s.groupID), op, put); err != nil {
		return err
	}
	s.cond, s.stored = kv.Rev(op), value
	if s.over() {
		s.process.Done(ctx, s.groupID)
	}
	return nil
}

// look brings what is known of a team up to date, and does what follows but for
// calling the hook. It returns the team.
func (t *Teams) look(ctx context.Context, o order) (*loadedTeam, error) {
	for range tries {
		s, err := t.load(ctx, o.GroupID)
		if err != nil {
			return s, err
		}
		if s.none() && o.Full && t.conf.AnyGroup {
			if err := s.adopt(ctx); err != nil {
				return s, err
			}
		} else if s.none() {
			return s, nil
		}
		if err := s.settle(ctx); !errors.Is(err, kv.ErrConflict) {
			return s, err
		}
	}
	return nil, errBusy
}

// settle does one thing after the other until nothing is left to do.
func (s *loadedTeam) settle(ctx context.Context) error {
	for seen := false; !s.over(); {
		rounds := s.Rounds
		switch {
		case s.Size == 0:
			return nil // a group that does not become a team
		case s.Status == Making:
			if err := s.make(ctx); err != nil {
				return err
			}
			seen = true
		case s.Status == Ended && s.Gone:
			if err := s.conf.Hook.Release(ctx, *s.Release); err != nil && !errors.Is(err, ErrRefused) {
				slog.WarnContext(ctx, "hook not told of an abandoned start; the agenda retries", "error", err.Error())
				return nil
			}
			s.Release = nil
		case s.Status == Ended:
			if err := s.conf.IM.DestroyGroup(ctx, s.groupID); err != nil && !im.Lasting(err) {
				return err
			}
			s.Gone = true
		case s.Notice != nil && seen:
			if err := s.send(ctx); err != nil {
				return err
			}
			s.hear()
		case s.Closed != s.closing() && seen:
			if err := s.close(ctx); err != nil {
				return err
			}
		case seen:
			return nil
		default:
			if err := s.observe(ctx); err != nil {
				return err
			}
			seen = true
		}
		s.tell(s.groupID)
		if err := s.save(ctx); err != nil {
			return err
		}
		if s.Rounds > rounds {
			// Without the job, the agenda comes to it.
			if err := s.put(ctx, "team/"+s.Start.ID+"/start", startKind, queue.Slow, order{GroupID: s.groupID}); err != nil {
				slog.WarnContext(ctx, "start deferred to the agenda", "error", err.Error())
			}
		}
	}
	return nil
}

// close has IM let nobody join the group of a match that has started. Whoever is there
// by another way is seen at the next look.
func (s *loadedTeam) close(ctx context.Context) error {
	option := im.FreeAccess
	if s.closing() {
		option = im.DisableApply
	}
	err := s.conf.IM.ModifyGroup(ctx, s.groupID, im.GroupChange{ApplyJoin: option})
	if im.Lasting(err) && !errors.Is(err, im.CodeGroupGone) {
		slog.ErrorContext(ctx, "a team's group cannot be closed to newcomers", "error", err.Error())
		err = nil
	}
	if errors.Is(err, im.CodeGroupGone) {
		s.vanish()
		return nil
	}
	s.Closed = s.closing()
	return err
}

// make makes the team's group. Nobody can have guessed its id, so a group of that
// id is the one of an earlier try.
func (s *loadedTeam) make(ctx context.Context) error {
	err := s.conf.IM.ImportAccount(ctx, im.Account{UserID: s.Captain})
	if err == nil {
		_, err = s.conf.IM.CreateGroup(ctx, im.NewGroup{
			Type: im.Public, GroupID: s.groupID, Name: cmp.Or(im.CutText(s.Mode, im.MaxGroupName), "team"), Owner: s.Captain,
			MaxMemberCount: s.Size, ApplyJoin: im.FreeAccess,
		})
	}
	switch {
	case errors.Is(err, im.CodeGroupIDTaken):
	case im.Lasting(err):
		slog.WarnContext(ctx, "IM refuses the group of a team", "error", err.Error())
		s.Refused = "IM does not make a team of this size for this captain"
		s.vanish()
		return nil
	case err != nil:
		return err
	}
	s.Status, s.Members = Open, []Member{{s.Captain, s.now().Unix()}}
	s.Told = told{Status: Open, Captain: s.Captain, Members: ids(s.Members)}
	return nil
}

// observe reads the members of the group.
func (s *loadedTeam) observe(ctx context.Context) error {
	page, err := s.conf.IM.GroupMembers(ctx, im.MembersQuery{GroupID: s.groupID})
	switch {
	case errors.Is(err, im.CodeGroupGone), errors.Is(err, im.CodeBadGroupID):
		s.vanish()
		return nil
	case err != nil:
		return err
	}
	var g group
	for _, m := range page.Members {
		g.members = append(g.members, Member{m.UserID, m.JoinTime})
		if m.Role == im.RoleOwner {
			g.captain = m.UserID
		}
	}
	slices.SortFunc(g.members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Joined, b.Joined), cmp.Compare(a.UserID, b.UserID))
	})
	s.see(s.groupID, g, s.now(), s.conf.Wait)
	return nil
}

// adopt makes a team of a group that is not ours and that IM says is full. Where
// it is not, or cannot be one, the team has no size.
func (s *loadedTeam) adopt(ctx context.Context) error {
	infos, err := s.conf.IM.GroupInfos(ctx, []string{s.groupID})
	if err != nil {
		return err
	}
	if len(infos) != 1 || infos[0].Code != 0 {
		return nil
	}
	switch g := infos[0]; {
	case g.Type != im.Work && g.Type != im.Public && g.Type != im.Meeting:
	case g.MaxMemberNum < MinSize || g.MaxMemberNum > MaxSize || g.MemberNum < g.MaxMemberNum:
	default:
		life, err := s.lives.Current(ctx, s.groupID)
		if err != nil {
			return err
		}
		s.team = team{Foreign: true, Life: life.Number, Status: Open, Size: g.MaxMemberNum, Until: s.now().Add(foreignEvery)}
		s.past = false
	}
	return nil
}

// send tells the team. What IM does not take, or may have taken, is not told
// again: the next notice has it all.
func (s *loadedTeam) send(ctx context.Context) error {
	var data bytes.Buffer
	enc := json.NewEncoder(&data)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s.Notice); err != nil {
		return fmt.Errorf("match: %w", err)
	}
	_, err := s.conf.Sends.Group(ctx, fmt.Sprintf("team/%s/%d", s.name(s.groupID), s.Notice.Seq), im.GroupMsg{
		GroupID: s.groupID, From: s.conf.Notifier, Body: im.Custom(string(bytes.TrimSpace(data.Bytes())), "", ""),
	})
	if im.Lasting(err) || errors.Is(err, once.ErrUnknown) || errors.Is(err, once.ErrInvalid) {
		slog.ErrorContext(ctx, "team not notified", "error", err.Error())
		return nil
	}
	return err
}
