package mark

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// Forget takes the author, and what the author made of a message, out of its item;
// see [community.Forget]. Reactions of others stay.
func Forget(ctx context.Context, store kv.Store, userID string, n userdata.Noted) (was, ok bool, err error) {
	if !strings.HasPrefix(n.Key, messagePrefix) {
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
		return false, true, fmt.Errorf("mark: a message's item does not decode: %w", err)
	}
	if is.From != userID {
		return false, true, nil
	}
	is.From, is.Body = "", nil
	value, err := json.Marshal(is)
	if err != nil {
		return false, true, fmt.Errorf("mark: %w", err)
	}
	return true, true, store.Commit(ctx, n.Partition, kv.NewOp("erase"), kv.Put{Key: n.Key, Value: value, Expires: item.Expires, If: kv.Rev(item.Rev)})
}
