package roomstats

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/backchannel-im/backchannel/shared/im"
)

// Format recognises custom messages of one kind by fields of the JSON in their Data,
// and finds the number of gifts or likes that such a message counts.
type Format struct {
	// Match maps paths of fields, names joined by dots, to the texts that the fields
	// must hold.
	Match map[string]string
	// Count is the path of a whole number. A message without that field counts 1.
	Count string
}

// The formats of the Flutter plug-in for live rooms. Gifts are its types 1, 2
// and 3.
var (
	PluginGift = Format{
		Match: map[string]string{"businessID": "flutter_live_kit", "data.cmd": "send_gift_message"},
		Count: "data.cmdInfo.giftCount",
	}
	PluginLike = Format{
		Match: map[string]string{"businessID": "flutter_live_kit", "data.cmd": "thumbs_up"},
		Count: "data.cmdInfo.count",
	}
)

// Bounds of the numbers in a message.
const (
	maxPayload = 12 << 10 // bytes of Data; IM's own limit for a message
	maxDepth   = 8        // fields in a path
	maxPieces  = 1_000_000
	// MaxLikes is how many likes one message counts at most.
	MaxLikes = 20
)

// ParseFormat reads a format: paths with the text they must hold, and after
// "count:" the path of the number, all separated by spaces, such as
// "businessID=shop data.cmd=gift count:data.pieces".
func ParseFormat(text string) (Format, error) {
	f := Format{Match: map[string]string{}}
	for _, word := range strings.Fields(text) {
		if path, is := strings.CutPrefix(word, "count:"); is && f.Count == "" && validPath(path) {
			f.Count = path
			continue
		}
		path, want, found := strings.Cut(word, "=")
		if !found || !validPath(path) || f.Match[path] != "" || want == "" {
			return Format{}, fmt.Errorf("%q is neither PATH=TEXT nor count:PATH", word)
		}
		f.Match[path] = want
	}
	if len(f.Match) == 0 {
		return Format{}, errors.New("a format needs a PATH=TEXT")
	}
	return f, nil
}

func validPath(path string) bool {
	return path != "" && !strings.Contains("."+path+".", "..") && strings.Count(path, ".") < maxDepth
}

// isZero reports the format that nothing was said of.
func (f Format) isZero() bool { return len(f.Match) == 0 }

// Find reports whether a message is of this format, and the number in the message: 1
// without a number, 0 when the number is not a whole number above 0, or is too large.
func (f Format) Find(body im.MsgBody) (count int64, is bool) {
	data, is := f.find(body)
	if !is {
		return 0, false
	}
	n, err := f.number(data)
	if err != nil || n < 1 || n > maxPieces {
		return 0, true
	}
	return n, true
}

// FindLikes is Find for likes: a whole number of any size counts as the nearest
// one from 1 to [MaxLikes].
func (f Format) FindLikes(body im.MsgBody) (count int64, is bool) {
	data, is := f.find(body)
	if !is {
		return 0, false
	}
	n, err := f.number(data)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, true
	}
	return min(max(n, 1), MaxLikes), true // out of range, n is the nearest int64
}

// find returns the JSON of a message of this format.
func (f Format) find(body im.MsgBody) (data map[string]json.RawMessage, is bool) {
	for _, element := range body {
		if element.MsgType != im.CustomElem {
			continue
		}
		var content struct{ Data string }
		if json.Unmarshal(element.MsgContent, &content) != nil || len(content.Data) > maxPayload {
			continue
		}
		data = nil
		if json.Unmarshal([]byte(content.Data), &data) != nil {
			continue
		}
		if f.matches(data) {
			return data, true
		}
	}
	return nil, false
}

func (f Format) matches(data map[string]json.RawMessage) bool {
	for path, want := range f.Match {
		var text string
		if json.Unmarshal(field(data, path), &text) != nil || text != want {
			return false
		}
	}
	return true
}

// number returns the number of things that a message of this format holds, 1
// without one.
func (f Format) number(data map[string]json.RawMessage) (int64, error) {
	if f.Count == "" {
		return 1, nil
	}
	raw := field(data, f.Count)
	if raw == nil {
		return 1, nil
	}
	return strconv.ParseInt(string(bytes.TrimSpace(raw)), 10, 64)
}

// field returns the JSON at a path, nil if there is none.
func field(data map[string]json.RawMessage, path string) json.RawMessage {
	for {
		name, rest, deeper := strings.Cut(path, ".")
		raw, found := data[name]
		if !found || !deeper {
			return raw
		}
		data = nil
		if json.Unmarshal(raw, &data) != nil {
			return nil
		}
		path = rest
	}
}

// orders reports whether CloudCustomData carries ids of our own gift orders,
// which have been counted with the orders.
func orders(custom string) bool {
	if custom == "" || len(custom) > maxPayload {
		return false
	}
	var data struct {
		Backchannel struct {
			Orders []string `json:"orders"`
		} `json:"backchannel"`
	}
	return json.Unmarshal([]byte(custom), &data) == nil && len(data.Backchannel.Orders) > 0
}
