package im

import "slices"

// ItemResult is the result of one item of a call: IM answers the whole call with
// success even if it refused every item.
type ItemResult struct {
	ID   string // a UserID, or as the call says
	Code Code   // 0: done
	Info string // IM's own text
}

// OK reports whether IM carried out the item.
func (r ItemResult) OK() bool { return r.Code == 0 }

// itemCode is how the openim service writes one.
type itemCode struct {
	ToAccount string `json:"To_Account"`
	ErrorCode Code   `json:"ErrorCode"`
}

// userResult is how the account service writes one.
type userResult struct {
	UserID     string
	ResultCode Code
	ResultInfo string
}

// inChunks calls f with size items at a time until one call fails, and returns
// all that the calls returned: with an error, what is known up to there.
func inChunks[T, R any](list []T, size int, f func([]T) ([]R, error)) ([]R, error) {
	var all []R
	for chunk := range slices.Chunk(list, size) {
		results, err := f(chunk)
		all = append(all, results...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}
