package im

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Attributes of groups: what every member sees at once, kept as long as the group
// (1047/44187 to 1047/44190, 1047/59499). The fields in a group's Data are
// something else.

// Limits of attributes.
const (
	MaxAttributes      = 16
	MaxAttributeKey    = 32    // bytes
	MaxAttributeValue  = 4000  // bytes
	MaxAttributesTotal = 16000 // bytes of keys and values
)

// attributePace bounds the writes to one group's attributes.
var attributePace = allowance{5, time.Second}

var (
	setGroupAttr    = method{path: "group_open_http_svc/set_group_attr", repeat: harmless}
	modifyGroupAttr = method{path: "group_open_http_svc/modify_group_attr", repeat: harmless}
	deleteGroupAttr = method{path: "group_open_http_svc/delete_group_attr", repeat: harmless}
	clearGroupAttr  = method{path: "group_open_http_svc/clear_group_attr", repeat: harmless}
	getGroupAttr    = method{path: "group_open_attr_http_svc/get_group_attr", repeat: harmless} // a service of its own
)

// attribute is how IM writes one, in lower case unlike everything else.
type attribute struct {
	Key   string  `json:"key"`
	Value *string `json:"value,omitempty"` // nil: to take away
}

func attributesOf(values map[string]string) ([]attribute, error) {
	total := 0
	var list []attribute
	for _, key := range slices.Sorted(maps.Keys(values)) {
		value := values[key]
		if err := cmp.Or(needed("key", key, MaxAttributeKey), atMost("value", value, MaxAttributeValue)); err != nil {
			return nil, err
		}
		total += len(key) + len(value)
		list = append(list, attribute{key, &value})
	}
	if total > MaxAttributesTotal {
		return nil, &FieldError{"GroupAttr", MaxAttributesTotal, fmt.Sprintf("has %d bytes (at most %d)", total, MaxAttributesTotal)}
	}
	return list, cmp.Or(some("GroupAttr", list), fewer("GroupAttr", list, MaxAttributes))
}

// writeAttributes changes a group's attributes within 5 writes a second.
func (c *Client) writeAttributes(ctx context.Context, m method, groupID string, list []attribute) error {
	if err := neededGroup(groupID); err != nil {
		return err
	}
	return c.call(ctx, m, struct {
		GroupID   string      `json:"GroupId"`
		GroupAttr []attribute `json:",omitempty"`
	}{groupID, list}, nil, turn{limited{"attributes", groupID}, attributePace, 1})
}

// SetGroupAttributes replaces all attributes of a group. It waits for its turn
// within 5 writes a second to that group. CodeAttributesChanged: another
// writer was faster; read the attributes and retry the write (1047/44190).
func (c *Client) SetGroupAttributes(ctx context.Context, groupID string, values map[string]string) error {
	list, err := attributesOf(values)
	if err != nil {
		return err
	}
	return c.writeAttributes(ctx, setGroupAttr, groupID, list)
}

// ModifyGroupAttributes sets some attributes and leaves the others; otherwise it
// is as SetGroupAttributes.
func (c *Client) ModifyGroupAttributes(ctx context.Context, groupID string, values map[string]string) error {
	list, err := attributesOf(values)
	if err != nil {
		return err
	}
	return c.writeAttributes(ctx, modifyGroupAttr, groupID, list)
}

// DeleteGroupAttributes deletes some attributes; otherwise it is as
// SetGroupAttributes.
func (c *Client) DeleteGroupAttributes(ctx context.Context, groupID string, keys ...string) error {
	if err := some("GroupAttr", keys); err != nil {
		return err
	}
	list := make([]attribute, len(keys))
	for i, key := range keys {
		list[i].Key = key
	}
	return c.writeAttributes(ctx, deleteGroupAttr, groupID, list)
}

// ClearGroupAttributes deletes all attributes; otherwise it is as
// SetGroupAttributes.
func (c *Client) ClearGroupAttributes(ctx context.Context, groupID string) error {
	return c.writeAttributes(ctx, clearGroupAttr, groupID, nil)
}

// GroupAttributes returns the attributes of a group (1047/44187).
func (c *Client) GroupAttributes(ctx context.Context, groupID string) (map[string]string, error) {
	if err := neededGroup(groupID); err != nil {
		return nil, err
	}
	var out struct {
		envelope
		GroupAttrAry []struct {
			Key   string `json:"key"`
			Value string `json:"value"`
		}
	}
	if err := c.call(ctx, getGroupAttr, groupItem{groupID}, &out); err != nil {
		return nil, err
	}
	values := make(map[string]string, len(out.GroupAttrAry))
	for _, a := range out.GroupAttrAry {
		values[a.Key] = a.Value
	}
	return values, nil
}
