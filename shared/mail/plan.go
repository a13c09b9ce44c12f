package mail

import (
	"math"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

// Plan is the way in which a mail is sent, with its calls, time and cost.
type Plan struct {
	By      string  `json:"by"`      // sendmsg, batchsendmsg, send_group_msg, im_push, or inbox where IM is not told
	Calls   int     `json:"calls"`   // of IM's REST API, without reading a group's members
	Seconds float64 `json:"seconds"` // from the first call to the last, where no other campaign is sent
	Cost    Cost    `json:"cost"`
}

// Cost is the cost of a mail in the store and in IM.
type Cost struct {
	Writes   int     `json:"writes"`   // write units of DynamoDB, of 1 KB each
	Reads    int     `json:"reads"`    // read units
	Messages int     `json:"messages"` // that IM delivers
	USD      float64 `json:"usd"`      // of the store, at the on-demand prices below
}

// On-demand prices of DynamoDB in us-east-1, in dollars a million units.
const (
	usdPerMillionWrites = 0.625
	usdPerMillionReads  = 0.125
)

// Units of the store that a step takes, as shared/mail/units_test.go counts them.
const (
	unitsCampaign = 38 // a campaign's own records, its guard, its job and the sender's lease
	unitsChunk    = 8  // a chunk of recipients beside their inboxes
)

// planOf plans a mail to a number of recipients; of a mail to everyone it is 0.
func planOf(by string, recipients int) Plan {
	p := Plan{By: by}
	chunks := (recipients + im.BatchSize - 1) / im.BatchSize
	writes := unitsCampaign + recipients
	switch by {
	case byOne, byPush:
		p.Calls = 1
	case byGroup:
		p.Calls = 1
		writes += unitsChunk * chunks
	case byBatch:
		p.Calls = chunks
		writes += unitsChunk * chunks
		if chunks > 0 {
			last := chunks - 1
			p.Seconds = (time.Duration(last/callsPerWindow)*window + time.Duration(last%callsPerWindow)*im.BatchSize*perRecipient).Seconds()
		}
	}
	p.Cost = Cost{Writes: writes, Reads: writes, Messages: recipients}
	p.Cost.USD = math.Round((float64(p.Cost.Writes)*usdPerMillionWrites+float64(p.Cost.Reads)*usdPerMillionReads)/1e6*1e4) / 1e4
	return p
}
