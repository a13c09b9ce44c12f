package thread

import (
	"context"
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
	was, err = userdata.EditItem(ctx, store, n, func(is *record) (was bool) {
		for _, id := range []*string{&is.By, &is.From} {
			if *id == userID {
				*id, was = "", true
			}
		}
		return was
	})
	return was, true, err
}
