package thread

import (
	"context"
	"strings"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// Forget removes a user, as the maker or as the author of the parent message, from the
// item of a sub-channel; see [community.Forget].
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
