// Package users lists which records of a user each feature keeps, and where, so that
// they can be exported and erased. A feature or a stored type that is not in the lists
// fails a test.
package users

import (
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/community/mark"
	"github.com/backchannel-im/backchannel/shared/community/thread"
	"github.com/backchannel-im/backchannel/shared/community/voice"
	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/mail"
	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/moderation/strikes"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// Sources list the records that each feature keeps of a user, and at the end the records
// of the ports below all features.
var Sources = []userdata.Source{
	strikes.UserData,
	liveroom.UserData,
	community.UserData(voice.SeatOf, mark.Forget, thread.Forget),
	roomstats.UserData,
	match.UserData,
	bot.UserData,
	desk.UserData,
	credential.UserData,
	mail.UserData,
	{Feature: "virgil"}, // keeps nothing
	ports,
}

const day = 24 * time.Hour

// ports are the packages on which all features stand.
var ports = userdata.Source{
	Feature: "all",
	Forms: []userdata.Form{
		{
			Types: []string{"queue:Record", "wiring:callback.Deferred"}, Partition: "jobs/", Key: "j/", Holds: "jobs, with what they are about", Does: userdata.Expires, Within: 25 * time.Hour,
			Why: "after the job is done, so that a repeat does nothing; mostly it runs within minutes. A dead job stays until an operator redrives or drops it: see `imctl jobs`",
		},
		{
			Types: []string{"mailbox:record"}, Key: "mailbox/", Holds: "messages that wait in a mailbox", Does: userdata.Expires, Within: day,
			Why: "a worker handles them within seconds; their ids are known for a day",
		},
		{Types: []string{"due:record"}, Partition: "due/", Holds: "what has to be finished, by ids of users, trades and the like", Does: userdata.Expires, Within: 2 * day, Why: "until it is finished; an erasure is among it"},
		{Types: []string{"im/once:record[M,_A]"}, Partition: "sends/", Holds: "messages that were sent", Does: userdata.Expires, Within: once.Kept, Why: "a repeat is recognised by them"},
		{Types: []string{"idem:record"}, Partition: "idem/", Holds: "answers to requests with an Idempotency-Key", Does: userdata.Expires, Within: day, Why: "a repeat is answered by them"},
		{Types: []string{"userdata:Noted", "userdata:erasure"}, Partition: "userdata/", Holds: "the index of where a user has records", Does: userdata.Erases, Why: "with the second pass"},
	},
}

// Nameless are the stored types that name no user and hold no words of one.
var Nameless = []string{
	"community:*Binding", "community:[]uint32", "community/thread:[]uint32", "desk:placeJob", "desk:progress", "desk:waiter", "doctor:note", "doctor:string",
	"generation:[]life", "liveroom/gift:Gift", "liveroom/lottery:[]opening", "liveroom/lottery:frozen", "liveroom/lottery:order",
	"liveroom/outbox:Outcome", "liveroom/outbox:lease", "liveroom/outbox:order", "liveroom:broadcast", "liveroom:doubt", "liveroom:string",
	"mail:everyoneMail", "mail:lease", "mail:letter", "mailbox:lease", "match:order", "moderation/lists:Standing", "moderation/media:opinion",
	"queue:progress", "roomstats:foldTask", "roomstats:int64", "roomstats:onlineState", "roomstats:publishTask", "roomstats:roomState",
	"roomstats:shardTotals",
}
