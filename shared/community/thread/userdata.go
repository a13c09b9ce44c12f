package thread

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// Forget takes a user out of the item of a sub-channel: who made it, and who wrote the
// message that it is about; see [community.Forget].
func Forget(ctx context.Context, store kv.Store, userID string, n userdata.Noted) (was, ok bool, err error) {
	if !strings.HasPrefix(n.Partition, threadsPrefix) {
		return false, false, nil
	}
	item, err := store.Get(ctx, n.Partition, n.Key)
	if errors.Is(err, kv.ErrNotFound) {
		return false, true, nil
	}
	if err != nil {
		return false, true, err
	}
	var is record
	if err := json.Unmarshal(item.Value, &is); err != nil {
		return false, true, fmt.Errorf("thread: a sub-channel does not decode: %w", err)
	}
	if is.By != userID && is.From != userID {
		return false, true, nil
	}
	if is.By == userID {
		is.By = ""
	}
	if is.From == userID {
		is.From = ""
	}
	value, err := json.Marshal(is)
	if err != nil {
		return false, true, fmt.Errorf("thread: %w", err)
	}
	return true, true, store.Commit(ctx, n.Partition, kv.NewOp("erase"), kv.Put{Key: n.Key, Value: value, Expires: item.Expires, If: kv.Rev(item.Rev)})
}
