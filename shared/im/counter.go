package im

import (
	"cmp"
	"context"
	"maps"
	"slices"
)

// Counters of groups (269/85952, 1047/53427 to 1047/53429). They need
// an edition (10059) and are not for communities.

// Limits of counters.
const (
	MaxCounters   = 20
	MaxCounterKey = 128 // bytes
)

var (
	updateGroupCounter = method{path: "group_open_http_svc/update_group_counter", repeat: harmless}
	getGroupCounter    = method{path: "group_open_http_svc/get_group_counter", repeat: harmless}
	deleteGroupCounter = method{path: "group_open_http_svc/delete_group_counter", repeat: harmless}
)

// counterValue is how IM writes a counter.
type counterValue struct {
	Key   string
	Value int64
}

func countersOf(list []counterValue) map[string]int64 {
	values := make(map[string]int64, len(list))
	for _, item := range list {
		values[item.Key] = item.Value
	}
	return values
}

func (c *Client) updateCounters(ctx context.Context, mode string, repeat repeat, groupID string, values map[string]int64) (map[string]int64, error) {
	list := make([]counterValue, 0, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if err := needed("Key", key, MaxCounterKey); err != nil {
			return nil, err
		}
		list = append(list, counterValue{key, values[key]})
	}
	if err := cmp.Or(neededGroup(groupID), some("GroupCounter", list), fewer("GroupCounter", list, MaxCounters)); err != nil {
		return nil, err
	}
	in := struct {
		GroupID      string `json:"GroupId"`
		GroupCounter []counterValue
		Mode         string
	}{groupID, list, mode}
	var out struct {
		envelope
		GroupCounter []counterValue
	}
	m := updateGroupCounter
	m.repeat = repeat
	if err := c.call(ctx, m, in, &out); err != nil {
		return nil, err
	}
	return countersOf(out.GroupCounter), nil
}

// SetGroupCounters sets counters of a group, which is safe to repeat, and returns
// their new values (1047/53428).
func (c *Client) SetGroupCounters(ctx context.Context, groupID string, values map[string]int64) (map[string]int64, error) {
	return c.updateCounters(ctx, "Set", harmless, groupID, values)
}

// AddGroupCounters adds to counters of a group and returns their new values. IM
// does not deduplicate additions, so that the client never retries one whose
// answer was lost (see MayHaveWorked): where that matters, keep the sum yourself
// and call SetGroupCounters (1047/53428).
func (c *Client) AddGroupCounters(ctx context.Context, groupID string, values map[string]int64) (map[string]int64, error) {
	return c.updateCounters(ctx, "Increase", never, groupID, values)
}

// counterKeys names counters of a group.
type counterKeys struct {
	GroupID string   `json:"GroupId"`
	Keys    []string `json:"GroupCounterKeys,omitempty"`
}

// GroupCounters returns counters of a group, or all of them if none is named
// (1047/53427).
func (c *Client) GroupCounters(ctx context.Context, groupID string, keys ...string) (map[string]int64, error) {
	if err := neededGroup(groupID); err != nil {
		return nil, err
	}
	var out struct {
		envelope
		GroupCounter []counterValue
	}
	if err := c.call(ctx, getGroupCounter, counterKeys{groupID, keys}, &out); err != nil {
		return nil, err
	}
	return countersOf(out.GroupCounter), nil
}

// DeleteGroupCounters deletes counters of a group (1047/53429).
func (c *Client) DeleteGroupCounters(ctx context.Context, groupID string, keys ...string) error {
	if err := cmp.Or(neededGroup(groupID), some("GroupCounterKeys", keys)); err != nil {
		return err
	}
	return c.call(ctx, deleteGroupCounter, counterKeys{groupID, keys}, nil)
}
