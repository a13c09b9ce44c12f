package mail

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Limits of a part of a file of recipients. Our decisions: a part is one commit.
const (
	MaxPartBytes = 1 << 20
	MaxPartLines = 40_000
	maxNamed     = 100 // broken lines that an error names
)

// Broken is a line that is no UserID.
type Broken struct {
	Line    int    `json:"line"` // of its part, the first is 1
	Problem string `json:"problem"`
}

// Part is the result of adding a part of a file.
type Part struct {
	Part       int      `json:"part"`
	Accepted   int      `json:"accepted"`
	Duplicates int      `json:"duplicates"`
	Broken     []Broken `json:"broken"`
}

// readLines reads one UserID a line. Empty lines are ignored.
func readLines(body []byte) (users []string, broken []Broken) {
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, len(body)+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "":
		case len(line) > im.MaxUserID:
			broken = append(broken, Broken{n, fmt.Sprintf("has %d bytes; a UserID has at most %d", len(line), im.MaxUserID)})
		case usersig.CheckUserID(line) != nil:
			broken = append(broken, Broken{n, "is not a UserID of visible ASCII characters"})
		default:
			users = append(users, line)
		}
	}
	return users, broken
}

// AddPart adds a part of the file of recipients that a mail was made for. Parts are
// numbered from 1 and come in order; the same part again is a no-op. A part with
// broken lines is refused, and the error names every broken line, unless skip says to
// leave these lines out. Errors are of the codes Invalid, NotFound, Conflict for a
// part out of order, IdempotencyMismatch where the part came with other content, and
// Unavailable.
func (m *Mails) AddPart(ctx context.Context, id string, number int, body []byte, skip bool) (Part, error) {
	part := Part{Part: number, Broken: []Broken{}}
	if !isID("m", id) {
		return part, errNoMail
	}
	users, broken := readLines(body)
	part.Broken = append(part.Broken, broken...)
	switch {
	case number < 1:
		return part, fault.New(fault.Invalid, "parts are numbered from 1")
	case len(broken) > 0 && !skip:
		return part, fault.New(fault.Invalid, "%s; correct the file, or send with skipBroken=1 to leave these lines out", nameLines(broken))
	case len(users)+len(broken) > MaxPartLines:
		return part, fault.New(fault.Invalid, "a part has at most %d lines", MaxPartLines)
	case len(users) == 0:
		return part, fault.New(fault.Invalid, "the part names no recipient")
	}
	list := unique(users)
	part.Accepted, part.Duplicates = len(list), len(users)-len(list)
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:16])
	hashKey := fmt.Sprintf("part/%08d", number)
	for range tries {
		l, p, cond, err := m.campaign(ctx, id)
		switch {
		case err != nil:
			return part, err
		case l == nil:
			return part, errNoMail
		case !l.To.File:
			return part, fault.New(fault.Conflict, "this mail has its recipients already")
		case number <= p.Parts:
			known, err := m.store.Get(ctx, campaignPartition(id), hashKey)
			if err == nil && string(known.Value) != hash {
				err = fault.New(fault.IdempotencyMismatch, "part %d came before with other lines", number)
			}
			return part, err
		case !p.Collecting || p.State != Planned:
			return part, fault.New(fault.Conflict, "this mail takes no more recipients: it is %s", p.State)
		case number > p.Parts+1:
			return part, fault.New(fault.Conflict, "part %d comes next, not part %d", p.Parts+1, number)
		}
		expires := l.Expires.Add(kept)
		writes := []kv.Write{kv.Put{Key: hashKey, Value: []byte(hash), Expires: expires, If: kv.Absent()}}
		for chunk := range slices.Chunk(list, im.BatchSize) {
			value, err := encode(chunk)
			if err != nil {
				return part, err
			}
			writes = append(writes, kv.Put{Key: chunkKey(p.Chunks), Value: value, Expires: expires, If: kv.Absent()})
			p.Chunks++
		}
		p.Parts, p.Total, p.Duplicates = number, p.Total+len(list), p.Duplicates+part.Duplicates
		value, err := encode(p)
		if err != nil {
			return part, err
		}
		_, err = m.commit(ctx, campaignPartition(id), append(writes, kv.Put{Key: progressItem, Value: value, Expires: expires, If: cond})...)
		if !errors.Is(err, kv.ErrConflict) {
			return part, err
		}
	}
	return part, errBusy
}

// nameLines names broken lines.
func nameLines(broken []Broken) string {
	var b strings.Builder
	for i, one := range broken[:min(len(broken), maxNamed)] {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "line %d %s", one.Line, one.Problem)
	}
	if more := len(broken) - maxNamed; more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}

// Start enqueues the sending of a mail whose file of recipients is complete. Starting
// again is a no-op.
func (m *Mails) Start(ctx context.Context, id string) (View, error) {
	if !isID("m", id) {
		return View{}, errNoMail
	}
	may := func(l *letter, p *progress) error {
		switch {
		case !l.To.File:
			return fault.New(fault.Conflict, "this mail is not sent to a file of recipients")
		case p.Collecting && p.Total == 0:
			return fault.New(fault.Conflict, "no recipients came yet")
		case p.Collecting && p.State == Cancelled:
			return fault.New(fault.IllegalTransition, "this mail was cancelled")
		}
		return nil
	}
	l, p, _, err := m.campaign(ctx, id)
	switch {
	case err != nil:
		return View{}, err
	case l == nil:
		return View{}, errNoMail
	}
	if err := may(l, p); err != nil {
		return View{}, err
	}
	if err := guard(ctx, m.campaigns, id, m.now().Add(guardAfter)); err != nil {
		return View{}, err
	}
	l, p, err = m.update(ctx, id, func(l *letter, p *progress) error {
		if err := may(l, p); err != nil {
			return err
		}
		p.Collecting = false
		return nil
	})
	if err != nil {
		return View{}, err
	}
	return view(l, p), m.enlist(ctx, id)
}
