package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// CopyProcess is the copying of a guest's conversations to the customer that the
// guest became. The id of an operation is the guest's UserID.
var CopyProcess = process.Name{Agenda: "guest-copies", Job: "guest-copy", Lane: queue.Slow}

// Bounds of what is copied, and how long it may take.
const (
	copiedMessages      = 100 // of each conversation, the latest
	copiedConversations = 10  // the latest
	// copyPatience is how long the customer's request waits for the copying. After
	// that the clock has a job go on.
	copyPatience = 5 * time.Second
	// copyLife is how long a guest stays used up. The guest's token lives shorter.
	copyLife = 365 * 24 * time.Hour

	copyKey = "copy"
	// copyTrail is the partition of the audit trail, by time.
	copyTrail = "credential/copies"
)

// copyIM is what copying needs of IM, as [im.Client] has it.
type copyIM interface {
	ImportAccount(ctx context.Context, a im.Account) error
	Conversations(ctx context.Context, userID string, from im.ConversationsCursor) ([]im.Conversation, *im.ConversationsCursor, error)
	C2CHistory(ctx context.Context, q im.C2CHistoryQuery) (im.C2CHistoryPage, error)
	ImportMsg(ctx context.Context, m im.ImportedMsg) error
}

// Copies copies the conversations of a guest who logs in as a customer: the last
// messages of each are imported between the customer and the same partner.
//
// An item in the guest's partition, written once, names the customer; a guest becomes
// one customer only. The copying behind it is a [process]: it may run twice, at the
// same time too, since IM recognises an imported message by its numbers and its time,
// which are those of the guest's message. Copies is safe for concurrent use.
type Copies struct {
	c       CopiesConfig
	process *process.Process
}

// CopiesConfig makes [Copies].
type CopiesConfig struct {
	Store kv.Store
	IM    copyIM
	Jobs  *queue.Ledger    // nil in a program that carries out no jobs
	Now   func() time.Time // nil: time.Now
}

// NewCopies returns Copies and registers the handler of its jobs.
func NewCopies(c CopiesConfig) *Copies {
	if c.Now == nil {
		c.Now = time.Now
	}
	copies := &Copies{c: c}
	copies.process = process.New(CopyProcess, c.Store, c.Jobs, c.Now, func(ctx context.Context, guestID string) error {
		_, err := copies.goOn(ctx, guestID)
		return err
	})
	return copies
}

// Copied is the progress of the copying for a customer.
type Copied struct {
	From     string `json:"from"` // the guest
	Messages int    `json:"messages"`
	Done     bool   `json:"done"`
}

// copyRecord is what is kept of it, in the guest's partition and in the trail.
type copyRecord struct {
	From     string    `json:"from"`
	To       string    `json:"to"`
	At       time.Time `json:"at"`
	Messages int       `json:"messages"`
	Done     bool      `json:"done"`
}

// Take copies a guest's conversations to a customer. The caller has proven both. Take
// returns nil for a guest whose conversations another customer has. A copying that
// takes too long or fails is continued by a job.
func (c *Copies) Take(ctx context.Context, guestID, userID string) (*Copied, error) {
	now := c.c.Now().UTC()
	if err := c.process.Guard(ctx, guestID, now.Add(time.Minute)); err != nil && !errors.Is(err, kv.ErrConflict) {
		return nil, err
	}
	record := copyRecord{From: guestID, To: userID, At: now}
	_, err := c.put(ctx, record, kv.Absent())
	switch {
	case err == nil:
		slog.InfoContext(ctx, "guest became a customer: the conversations are copied", "guest", guestID, "customer", userID)
	case !errors.Is(err, kv.ErrConflict):
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, copyPatience)
	defer cancel()
	record, err = c.goOnFor(bounded, guestID, userID)
	if err != nil {
		slog.WarnContext(ctx, "copy of a guest's conversations interrupted; a job continues it", "guest", guestID, "error", err.Error())
		return &Copied{From: guestID}, nil
	}
	if record.To != userID {
		slog.WarnContext(ctx, "guest became another customer before: nothing is copied", "guest", guestID, "customer", userID)
		return nil, nil
	}
	c.process.Done(ctx, guestID)
	return &Copied{guestID, record.Messages, record.Done}, nil
}

// goOn continues the copying of a guest's conversations, or finds it done.
func (c *Copies) goOn(ctx context.Context, guestID string) (copyRecord, error) {
	return c.goOnFor(ctx, guestID, "")
}

// goOnFor is goOn unless the guest became another customer than the one named.
func (c *Copies) goOnFor(ctx context.Context, guestID, userID string) (record copyRecord, err error) {
	item, err := c.c.Store.Get(ctx, guestPartition(guestID), copyKey)
	if errors.Is(err, kv.ErrNotFound) {
		return record, nil // guarded, and never begun
	}
	if err != nil {
		return record, err
	}
	if err := json.Unmarshal(item.Value, &record); err != nil {
		return record, err
	}
	if record.Done || userID != "" && record.To != userID {
		return record, nil
	}
	if record.Messages, err = c.copy(ctx, record); err != nil {
		return record, err
	}
	record.Done = true
	// The trail first: whatever is done is in it, once.
	value, err := json.Marshal(record)
	if err != nil {
		return record, err
	}
	err = c.c.Store.Commit(ctx, copyTrail, kv.NewOp("copy"), kv.Put{
		Key: fmt.Sprintf("%014d/%s", record.At.UnixMilli(), guestID), Value: value, Expires: record.At.Add(copyLife), If: kv.Absent(),
	})
	if err != nil && !errors.Is(err, kv.ErrConflict) {
		return record, err
	}
	if _, err = c.put(ctx, record, kv.Rev(item.Rev)); errors.Is(err, kv.ErrConflict) {
		err = nil // another did the same at the same time
	}
	return record, err
}

func (c *Copies) put(ctx context.Context, r copyRecord, cond kv.Cond) (rev string, err error) {
	value, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	op := kv.NewOp("copy")
	return op, c.c.Store.Commit(ctx, guestPartition(r.From), op, kv.Put{Key: copyKey, Value: value, Expires: r.At.Add(copyLife), If: cond})
}

// copy imports the messages of before the guest became a customer.
func (c *Copies) copy(ctx context.Context, r copyRecord) (messages int, err error) {
	if err := c.c.IM.ImportAccount(ctx, im.Account{UserID: r.To}); err != nil {
		return 0, err
	}
	list, _, err := c.c.IM.Conversations(ctx, r.From, im.ConversationsCursor{})
	if errors.Is(err, im.ClassAccount) || errors.Is(err, im.Code(50003)) {
		return 0, nil // the guest never logged in
	}
	if err != nil {
		return 0, err
	}
	list = slices.DeleteFunc(list, func(v im.Conversation) bool { return v.UserID == "" || v.UserID == r.To })
	for _, v := range list[:min(len(list), copiedConversations)] {
		n, err := c.copyConversation(ctx, r, v.UserID)
		messages += n
		if err != nil {
			return messages, err
		}
	}
	return messages, nil
}

func (c *Copies) copyConversation(ctx context.Context, r copyRecord, partner string) (messages int, err error) {
	var history []im.C2CHistoryMsg
	q := &im.C2CHistoryQuery{Viewer: r.From, Peer: partner, To: r.At.Unix(), Limit: copiedMessages}
	for q != nil && len(history) < copiedMessages {
		page, err := c.c.IM.C2CHistory(ctx, *q)
		if err != nil {
			return 0, err
		}
		for _, m := range page.Messages {
			if !m.Recalled() {
				history = append(history, m)
			}
		}
		q = page.Next
	}
	// The newest come first; of messages of one second the order is kept.
	history = history[:min(len(history), copiedMessages)]
	for _, m := range slices.Backward(history) {
		to := im.ImportedMsg{
			From: r.To, To: partner, MsgSeq: m.MsgSeq, MsgRandom: m.MsgRandom, MsgTime: m.MsgTime, Body: m.Body, CloudCustomData: m.CloudCustomData,
		}
		if m.From != r.From {
			to.From, to.To = partner, r.To
		}
		err := c.c.IM.ImportMsg(ctx, to)
		switch {
		case err == nil:
			messages++
		case errors.Is(err, im.ClassContent), errors.Is(err, im.ClassRequest):
			slog.WarnContext(ctx, "a message of a guest cannot be imported for the customer and is left out", "guest", r.From, "error", err.Error())
		default:
			return messages, err
		}
	}
	return messages, nil
}

// Routes adds, for servers, GET /usersig/copies?after=&limit=: the audit trail of
// guests who became customers.
func (c *Copies) Routes(mux *http.ServeMux, gate *api.Gate) {
	mux.Handle("GET /usersig/copies", gate.Server(c.list))
}

func (c *Copies) list(w http.ResponseWriter, r *http.Request) error {
	p, err := api.ReadPage(r)
	if err != nil {
		return err
	}
	page, err := c.c.Store.List(r.Context(), copyTrail, kv.Range{After: p.After, Limit: p.Limit})
	if err != nil {
		return err
	}
	out := struct {
		Copies []copyRecord `json:"copies"`
		Next   string       `json:"next,omitempty"`
	}{[]copyRecord{}, page.Next}
	for _, item := range page.Items {
		var record copyRecord
		if err := json.Unmarshal(item.Value, &record); err != nil {
			return err
		}
		out.Copies = append(out.Copies, record)
	}
	api.Reply(w, http.StatusOK, out)
	return nil
}
