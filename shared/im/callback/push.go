package callback

import "encoding/json"

// OfflinePush reports results of offline pushes, up to a hundred at once. Its
// body names no command; only the query does. Push.OfflinePush.
type OfflinePush struct {
	Base
	Events []json.RawMessage `json:"Events"`
}

func (*OfflinePush) happened() {}
