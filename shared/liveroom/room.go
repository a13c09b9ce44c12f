package liveroom

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

// Status is the status of a room's show.
type Status string

// A room waits until it goes live. While it is live it may pause; once it has
// ended, a replay may be shown. It never goes live a second time: the next show
// is a room created anew.
const (
	Waiting Status = "waiting"
	Live    Status = "live"
	Paused  Status = "paused"
	Ended   Status = "ended"
	Replay  Status = "replay"
)

// transitions are the changes of status that a caller may ask for. Closing a room
// leads to Ended from any of them.
var transitions = map[Status][]Status{
	Waiting: {Live},
	Live:    {Paused, Ended},
	Paused:  {Live, Ended},
	Ended:   {Replay},
	Replay:  {Ended},
}

// leadsTo reports whether a room of status s may be given the status next.
func (s Status) leadsTo(next Status) bool { return slices.Contains(transitions[s], next) }

// Room is the view of a live room. Times are in UTC.
type Room struct {
	RoomID       string    `json:"roomId"` // the GroupID
	Name         string    `json:"name"`
	Owner        string    `json:"owner"`
	Moderators   []string  `json:"moderators"`
	Status       Status    `json:"status"`
	Version      int64     `json:"version"` // of status, notice and introduction; 1 at creation
	Notice       string    `json:"notice"`
	Introduction string    `json:"introduction"`
	Public       bool      `json:"public"` // whether users see the list of users in the statistics
	CreatedAt    time.Time `json:"createdAt"`
	StartedAt    time.Time `json:"startedAt,omitzero"` // when it went live first
	EndedAt      time.Time `json:"endedAt,omitzero"`   // when it ended last

	// Generation tells apart the rooms that had this roomId one after the other:
	// Unix milliseconds of the creation, always greater than the one before.
	Generation int64 `json:"-"`
	// Closed: the group is dissolved or about to be. The roomId may be used anew.
	Closed bool `json:"-"`
}

// Partition is the partition of the store with a room's own items. It takes few
// writes: records of messages and gifts have partitions of their own.
func Partition(roomID string) string { return "liveroom/" + roomID }

// Key returns the key of a record of this generation of the room. Keys of other
// generations never begin with it, so the key also serves as the prefix of a list:
// room.Key("lottery/").
func (r Room) Key(name string) string { return fmt.Sprintf("g/%013d/%s", r.Generation, name) }

// Leads reports whether a user is the owner or a moderator.
func (r Room) Leads(userID string) bool {
	return userID != "" && (userID == r.Owner || slices.Contains(r.Moderators, userID))
}

// Open reports whether the room takes gifts, lotteries and messages: it has not
// ended and is not closed.
func (r Room) Open() bool { return !r.Closed && r.Status != Ended && r.Status != Replay }

// isRoomID reports whether a text can be the GroupID of an AVChatRoom (269/1615).
func isRoomID(id string) bool {
	return id != "" && len(id) <= im.MaxGroupID && !strings.HasPrefix(id, "@TGS#") &&
		!strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' })
}
