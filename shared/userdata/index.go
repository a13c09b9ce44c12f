package userdata

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Noted is a place among the records of others where a user has a record.
type Noted struct {
	Partition string `json:"p"`
	Key       string `json:"k"`
}

// indexPartition lists the noted places of a user, by feature.
func indexPartition(userID string) string { return "userdata/" + userID }

// key is the place's name in the index. Place names may be longer than a key.
func (n Noted) key(feature string) string {
	sum := sha256.Sum256([]byte(n.Partition + "\x00" + n.Key))
	return feature + "/" + hex.EncodeToString(sum[:16])
}

func decodeNoted(item kv.Item) (n Noted, err error) {
	if err = json.Unmarshal(item.Value, &n); err != nil {
		err = fmt.Errorf("userdata: a noted place does not decode: %w", err)
	}
	return n, err
}

// Note adds a place to the index of a user, for a rule that is about to make a record
// of his there. Noting a place again is a no-op. It costs one strongly consistent
// read, and the first time a write.
func Note(ctx context.Context, store kv.Store, userID, feature string, n Noted) error {
	partition, key := indexPartition(userID), n.key(feature)
	if _, err := store.Get(ctx, partition, key); !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	value, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("userdata: %w", err)
	}
	err = store.Commit(ctx, partition, kv.NewOp("note"), kv.Put{Key: key, Value: value, If: kv.Absent()})
	if errors.Is(err, kv.ErrConflict) {
		return nil // somebody else noted it this moment
	}
	return err
}

// What a Noter remembers.
const (
	notedFor = time.Hour // less than Settled, within which the index forgets nothing
	maxNoted = 50_000
)

// Noter notes places that are noted with every message: a place that the process noted
// within the last hour costs nothing. The zero value is ready. It is safe for
// concurrent use.
type Noter struct {
	mu    sync.Mutex
	known map[[2]string]time.Time
}

// Note is [Note], unless the place was noted lately.
func (m *Noter) Note(ctx context.Context, store kv.Store, userID, feature string, n Noted, now time.Time) error {
	key := [2]string{userID, n.key(feature)}
	m.mu.Lock()
	at, known := m.known[key]
	m.mu.Unlock()
	if known && now.Sub(at) < notedFor {
		return nil
	}
	if err := Note(ctx, store, userID, feature, n); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) >= maxNoted {
		maps.DeleteFunc(m.known, func(_ [2]string, at time.Time) bool { return now.Sub(at) >= notedFor })
	}
	if m.known == nil || len(m.known) >= maxNoted {
		m.known = make(map[[2]string]time.Time)
	}
	m.known[key] = now
	return nil
}
