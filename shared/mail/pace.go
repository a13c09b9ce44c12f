package mail

import (
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

// The pace of batch calls. IM takes 12,000 recipients in any minute (269/1612).
const (
	// window is IM's minute and a little: calls that leave a minute apart may arrive
	// closer together.
	window = time.Minute + 250*time.Millisecond
	// perRecipient spreads the calls over the minute.
	perRecipient = time.Minute / im.BatchPerMinute
	// callsPerWindow is how many full calls there are in a window.
	callsPerWindow = im.BatchPerMinute / im.BatchSize
	// blur is how close together calls are kept as one, at the later time.
	blur = time.Second
)

// pace is what the calls of the last minute allow. It is kept with the lease.
type pace struct {
	Taken []taking  `json:"taken,omitempty"` // by time
	Left  time.Time `json:"left"`            // when the last call left
	Size  int       `json:"size,omitempty"`  // of that call
	// Open is how many recipients a call has of which nobody knows when it ended.
	Open int `json:"open,omitempty"`
}

// taking is a number of recipients whose call ended at a time. IM counted them then,
// or earlier.
type taking struct {
	At time.Time `json:"at"`
	N  int       `json:"n"`
}

// free returns the first time, not before at, when a call to n recipients may leave.
func (p *pace) free(at time.Time, n int) time.Time {
	if spread := p.Left.Add(time.Duration(p.Size) * perRecipient); spread.After(at) {
		at = spread
	}
	for {
		sum, until := n+p.Open, time.Time{}
		for _, t := range slices.Backward(p.Taken) {
			if !t.At.After(at.Add(-window)) {
				break
			}
			if sum += t.N; sum > im.BatchPerMinute && until.IsZero() {
				until = t.At.Add(window)
			}
		}
		if until.IsZero() {
			return at
		}
		at = until
	}
}

// leave notes that a call leaves.
func (p *pace) leave(at time.Time, n int) { p.Left, p.Size, p.Open = at, n, p.Open+n }

// end notes that the calls under way have ended, whatever came of them.
func (p *pace) end(at time.Time) {
	if p.Open == 0 {
		return
	}
	n := p.Open
	p.Open = 0
	p.Taken = slices.DeleteFunc(p.Taken, func(t taking) bool { return !t.At.After(at.Add(-window)) })
	if last := len(p.Taken) - 1; last > 0 && at.Sub(p.Taken[last-1].At) < blur {
		// Two within a second become one at the later time, which delays the next
		// call by less than a second and keeps the list short.
		p.Taken[last] = taking{at, p.Taken[last].N + n}
		return
	}
	p.Taken = append(p.Taken, taking{at, n})
}
