// Package liveroom keeps live rooms: their status, their notice, and who may not
// write in them or enter them. A room is an AVChatRoom of IM; its roomId is the
// GroupID.
//
// # What to rely on
//
// The store is the truth. A change is one commit in the room's partition; what
// follows from it in IM (the group itself, its profile and attributes, mutes,
// bans, the message that tells the room) is written down in that same commit and
// carried out by a job. Before the commit the room is put on an agenda, so a
// process that dies at any point leaves an entry that the clock finds, and the
// next job continues. One worker at a time works on a room, by a lease, so an
// older change never overtakes a newer one on its way to IM.
//
// # Generations
//
// IM lets a GroupID be used again after the group was dissolved. Each time a room
// is created it gets another [Room.Generation]; everything that is kept about a
// room is kept under a key of its generation ([Room.Key]), so a room that is
// created anew starts empty.
package liveroom

import (
	"time"

	"github.com/backchannel-im/backchannel/shared/due"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Config makes [Rooms]. Store is required. A program that only reads rooms needs
// nothing else.
type Config struct {
	Store kv.Store
	Now   func() time.Time // nil: time.Now
}

// Rooms are all live rooms of an app. It is safe for concurrent use, also by
// several processes.
type Rooms struct {
	conf   Config
	store  kv.Store
	agenda *due.Agenda
	now    func() time.Time
}

// New makes Rooms.
func New(conf Config) *Rooms {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	return &Rooms{conf: conf, store: conf.Store, now: conf.Now, agenda: due.New(conf.Store, "liverooms", conf.Now)}
}
