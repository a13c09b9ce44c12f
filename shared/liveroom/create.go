package liveroom

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// MaxModerators bounds the moderators of a room. IM makes the first five admins of
// the group where the edition allows it; the others have the rights of this
// package alone.
const MaxModerators = 20

// imAdmins is how many admins IM lets an AVChatRoom have (1047/60525).
const imAdmins = 5

// NewRoom is a room to create.
type NewRoom struct {
	RoomID       string   `json:"roomId"` // "": one is derived from caller and Idempotency-Key
	Name         string   `json:"name"`   // 1 to 30 bytes
	Owner        string   `json:"owner"`
	Moderators   []string `json:"moderators"`
	Notice       string   `json:"notice"`       // at most 300 bytes
	Introduction string   `json:"introduction"` // at most 240 bytes
	Public       bool     `json:"public"`
}

func (n NewRoom) check() error {
	switch {
	case !isRoomID(n.RoomID):
		return fault.New(fault.Invalid, "roomId is a GroupID of 1 to %d visible ASCII characters that does not begin with @TGS#", im.MaxGroupID)
	case n.Name == "" || len(n.Name) > im.MaxGroupName || !PlainLine(n.Name):
		return fault.New(fault.Invalid, "name is one line of 1 to %d bytes without HTML", im.MaxGroupName)
	case len(n.Moderators) > MaxModerators:
		return fault.New(fault.Invalid, "a room has at most %d moderators", MaxModerators)
	}
	if err := checkUser("owner", n.Owner); err != nil {
		return err
	}
	for i, id := range n.Moderators {
		if err := checkUser("each of moderators", id); err != nil {
			return err
		}
		if id == n.Owner || slices.Contains(n.Moderators[:i], id) {
			return fault.New(fault.Invalid, "moderators names %s twice, or the owner", id)
		}
	}
	return checkTexts(n.Notice, n.Introduction)
}

// checkUser refuses what is nobody's UserID.
func checkUser(name, id string) error {
	switch {
	case usersig.CheckUserID(id) != nil:
		return fault.New(fault.Invalid, "%s is a UserID of 1 to 32 visible ASCII characters", name)
	case im.IsRobot(id):
		return fault.New(fault.Invalid, "%s is a chatbot, and chatbots run no rooms and are not restricted", name)
	}
	return nil
}

// digest tells lists of texts apart.
func digest(parts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return hex.EncodeToString(sum[:16])
}

// Create makes a room with its group. The same caller with the same idempotency key
// gets the same room again, as long as the room is open. After an error of the codes
// Unavailable and Timeout the room may be made all the same, and a retry returns it.
// The other codes are final: Invalid, IdempotencyMismatch, and Conflict where the
// roomId belongs to another open room or to a group that is no room.
func (r *Rooms) Create(ctx context.Context, caller api.Caller, key string, n NewRoom) (Room, error) {
	asked := digest(caller.Server, caller.UserID, key)
	if n.RoomID == "" {
		n.RoomID = "room-" + asked[:20]
	}
	if err := n.check(); err != nil {
		return Room{}, err
	}
	content := digest(append([]string{n.Name, n.Owner, n.Notice, n.Introduction, strconv.FormatBool(n.Public)}, n.Moderators...)...)
	for range tries {
		s, err := r.load(ctx, n.RoomID)
		switch {
		case err != nil:
			return Room{}, public(err)
		case s.none(), s.Gone, s.Refused != "" && (s.Asked != asked || s.Content != content):
			err = r.begin(ctx, s, n, asked, content)
		case s.Room.Closed: // finish the room before this one
		case s.Asked != asked:
			return Room{}, fault.New(fault.Conflict, "the roomId belongs to another open room; close that room first")
		case s.Content != content:
			return Room{}, fault.New(fault.IdempotencyMismatch, "this Idempotency-Key was used for another room; use a new one")
		case s.Refused != "":
			return Room{}, fault.New(fault.Conflict, "%s", s.Refused)
		case s.Made:
			return s.Room, nil
		}
		if err == nil {
			err = r.settleNow(ctx, n.RoomID)
		}
		if err != nil && !errors.Is(err, kv.ErrConflict) {
			return Room{}, public(err)
		}
	}
	return Room{}, errBusy
}

// begin writes down a room that is to be made, in place of what had its id before.
func (r *Rooms) begin(ctx context.Context, s *seen, n NewRoom, asked, content string) error {
	at := time.UnixMilli(max(r.now().UnixMilli(), s.Room.Generation+1)).UTC()
	s.record = record{
		Room: Room{
			RoomID: n.RoomID, Name: n.Name, Owner: n.Owner, Moderators: append([]string{}, n.Moderators...), Status: Waiting, Version: 1,
			Notice: n.Notice, Introduction: n.Introduction, Public: n.Public, CreatedAt: at, Generation: at.UnixMilli(),
		},
		Asked: asked, Content: content,
		Told: told{Status: Waiting}, // nobody is in the room yet who could be told
	}
	if err := r.looks.Guard(ctx, n.RoomID, r.now().Add(guardAfter)); err != nil {
		return err
	}
	return r.save(ctx, s)
}

// settleNow is settle for a caller who waits for the result: while another works
// on the room, it waits for its turn.
func (r *Rooms) settleNow(ctx context.Context, roomID string) error {
	const pause = 50 * time.Millisecond
	for {
		err := r.settle(ctx, roomID)
		if _, held := errors.AsType[queue.Later](err); !held {
			return err
		}
		if r.conf.Sleep(ctx, pause) != nil {
			return err
		}
	}
}

// make makes the room's group. A group that has this id and owner already is the
// one of an earlier try, or was made by the owner: it becomes the room.
func (r *Rooms) make(ctx context.Context, s *seen) error {
	for _, id := range append([]string{s.Owner}, s.Moderators...) {
		// A user who has never logged in has no account yet.
		if err := r.conf.IM.ImportAccount(ctx, im.Account{UserID: id}); im.Lasting(err) {
			return r.refuse(ctx, s, err, "IM does not accept "+id+" as a user")
		} else if err != nil {
			return err
		}
	}
	created, err := r.conf.IM.CreateGroup(ctx, im.NewGroup{
		Type: im.AVRoom, GroupID: s.roomID, Name: s.Name, Owner: s.Owner, Notification: s.Notice, Introduction: s.Introduction,
	})
	switch {
	case errors.Is(err, im.CodeGroupIDTaken):
		return r.refuse(ctx, s, err, "the roomId is the id of a group that belongs to somebody else")
	case im.Lasting(err):
		return r.refuse(ctx, s, err, "IM does not make this group")
	case err != nil:
		return err
	}
	if created.Existed {
		infos, err := r.conf.IM.GroupInfos(ctx, []string{s.roomID})
		switch {
		case err != nil:
			return err
		case len(infos) != 1 || infos[0].Code != 0:
			return errors.New("liveroom: IM does not describe a group that it says exists")
		case infos[0].Type != im.AVRoom && infos[0].Type != im.Live:
			return r.refuse(ctx, s, nil, "the roomId is the id of a group that is no AVChatRoom")
		}
	}
	if n := min(len(s.Moderators), imAdmins); n > 0 {
		// Not in every edition. The moderators have their rights here anyway.
		if err := r.conf.IM.SetRoomAdmins(ctx, s.roomID, s.Moderators[:n]...); im.Lasting(err) || errors.Is(err, im.ClassConfiguration) {
			slog.InfoContext(ctx, "the moderators of a room are no admins of its group", "error", err.Error())
		} else if err != nil {
			return err
		}
	}
	if err := r.list(ctx, s.Room); err != nil {
		return err
	}
	s.Made = true
	return r.save(ctx, s)
}

// refuse records that a room will not be made. Its id is free.
func (r *Rooms) refuse(ctx context.Context, s *seen, cause error, why string) error {
	if cause != nil {
		slog.WarnContext(ctx, "IM refuses a room", "error", cause.Error())
	}
	s.Refused = why
	return r.save(ctx, s)
}

// The list of open rooms is one partition, in the order of their creation. IM lets
// an app create 200 groups a second at most, so the list stays under the write
// limit of one partition.
const listPartition = "liverooms"

func listKey(room Room) string { return fmt.Sprintf("%013d/%s", room.Generation, room.RoomID) }

// list enters a room in the list.
func (r *Rooms) list(ctx context.Context, room Room) error {
	err := r.store.Commit(ctx, listPartition, newOp(), kv.Put{Key: listKey(room), Value: []byte(room.RoomID), If: kv.Absent()})
	if errors.Is(err, kv.ErrConflict) {
		return nil // an earlier try did
	}
	return err
}

// unlist removes a room from the list.
func (r *Rooms) unlist(ctx context.Context, room Room) error {
	item, err := r.store.Get(ctx, listPartition, listKey(room))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	err = r.store.Commit(ctx, listPartition, newOp(), kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)})
	if errors.Is(err, kv.ErrConflict) {
		return nil // another worker did
	}
	return err
}

// List returns a page of the open rooms, the newest first, after the cursor given
// ("" for the start), and the cursor of the next page, "" at the end. It reads each
// room. Errors are of the code Unavailable.
func (r *Rooms) List(ctx context.Context, after string, limit int) (rooms []Room, next string, err error) {
	for len(rooms) < limit {
		page, err := r.store.List(ctx, listPartition, kv.Range{After: after, Reverse: true, Limit: limit - len(rooms)})
		if err != nil {
			return nil, "", public(err)
		}
		for _, item := range page.Items {
			s, err := r.load(ctx, string(item.Value))
			if err != nil {
				return nil, "", public(err)
			}
			if s.Made && !s.Room.Closed && listKey(s.Room) == item.Key {
				rooms = append(rooms, s.Room)
			}
		}
		if after = page.Next; after == "" {
			break
		}
	}
	return rooms, after, nil
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
