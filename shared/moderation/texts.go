package moderation

import (
	"bytes"
	"encoding/json"
	"unsafe"

	"github.com/backchannel-im/backchannel/shared/im"
)

// visitor sees each text of a message that people may get to read, and may
// replace it. It sees the text as it is read, not as JSON writes it.
type visitor interface {
	text(s string) (instead string, replace bool)
}

// visitBody shows a visitor the texts of a body, and returns the body with those
// it replaced. Every other byte stays as it was; a body in which nothing was
// replaced is returned itself.
func visitBody(body im.MsgBody, v visitor) im.MsgBody {
	var changed im.MsgBody
	for i, e := range body {
		if hidden(e.MsgType) {
			continue
		}
		w := walker{raw: e.MsgContent, v: v, all: !known(e.MsgType)}
		// A content that is bare text, against the manual, is what people read.
		if w.value(0, true); !w.replaced {
			continue
		}
		if changed == nil {
			changed = append(changed, body...)
		}
		changed[i].MsgContent = w.result()
	}
	if changed == nil {
		return body
	}
	return changed
}

// visitText shows a visitor a text that is not within an element, such as
// CloudCustomData.
func visitText(s string, v visitor) string {
	if s == "" {
		return s
	}
	if in, replace := inner(s, v, 0); replace {
		return in
	}
	return s
}

// known reports whether the manual says which fields of a type people read
// (1047/33527). Of other types every text is judged.
func known(msgType string) bool {
	switch msgType {
	case im.TextElem, im.CustomElem, im.LocationElem, im.FileElem, im.RelayElem, im.StreamElem:
		return true
	}
	return hidden(msgType)
}

// hidden reports whether elements of a type have no text that anybody reads.
func hidden(msgType string) bool {
	switch msgType {
	case im.FaceElem, im.ImageElem, im.SoundElem, im.VideoElem:
		return true
	}
	return false
}

// shown are the fields of elements that people may get to read (1047/33527),
// those of elements within relayed ones included.
func shown(name []byte) bool {
	switch string(name) {
	case "Text", "Data", "Desc", "Ext", "FileName", "Title", "CompatibleText", "AbstractList", "Markdown":
		return true
	}
	return false
}

// deepest bounds how deep values are followed into one another, relayed messages
// and JSON within texts included: no deeper than encoding/json takes.
const deepest = 10_000

// walker goes through one JSON value. It need not be valid, and is not changed
// where it is not.
type walker struct {
	raw   []byte
	v     visitor
	all   bool // every text counts, not only the fields that are shown
	depth int

	out      []byte
	copied   int // raw up to here is in out
	replaced bool
}

// value walks the value at an offset and returns the offset behind it. Look says
// whether a text there is one that people read. What is not JSON ends the walk.
func (w *walker) value(i int, look bool) int {
	i = w.space(i)
	if i >= len(w.raw) {
		return i
	}
	switch w.raw[i] {
	case '"':
		end := w.stringEnd(i)
		if look || w.all {
			w.text(i, end)
		}
		return end
	case '{', '[':
		return w.items(i, look)
	}
	for ; i < len(w.raw); i++ { // a number, true, false or null
		switch w.raw[i] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return i
		}
	}
	return i
}

func (w *walker) items(i int, look bool) int {
	object := w.raw[i] == '{'
	if w.depth++; w.depth > deepest {
		return len(w.raw)
	}
	defer func() { w.depth-- }()
	for i++; i < len(w.raw); {
		i = w.space(i)
		if i >= len(w.raw) || w.raw[i] == '}' || w.raw[i] == ']' {
			return i + 1
		}
		if object {
			end := w.stringEnd(i)
			look = end-i >= 2 && shown(w.raw[i+1:end-1])
			i = w.space(end) + 1 // the colon
		}
		i = w.space(w.value(i, look))
		if i < len(w.raw) && w.raw[i] == ',' {
			i++
		}
	}
	return i
}

func (w *walker) space(i int) int {
	for i < len(w.raw) && (w.raw[i] == ' ' || w.raw[i] == '\n' || w.raw[i] == '\t' || w.raw[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns the offset behind the string that begins at i.
func (w *walker) stringEnd(i int) int {
	for i++; i < len(w.raw); i++ {
		switch w.raw[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(w.raw)
}

// text shows the visitor the string raw[i:end].
func (w *walker) text(i, end int) {
	if end-i < 2 {
		return
	}
	s := unquoted(w.raw[i:end])
	if s == "" {
		return
	}
	instead, replace := inner(s, w.v, w.depth)
	if !replace {
		return
	}
	w.out = append(append(w.out, w.raw[w.copied:i]...), quoted(instead)...)
	w.copied, w.replaced = end, true
}

// unquoted returns what a JSON string says, "" for other JSON. Without escapes
// it is a view of the message, which nobody writes to.
func unquoted(b []byte) string {
	if part := b[1 : len(b)-1]; bytes.IndexByte(part, '\\') < 0 {
		return unsafe.String(unsafe.SliceData(part), len(part))
	}
	s := new(string)
	if json.Unmarshal(b, s) != nil {
		return ""
	}
	return *s
}

func (w *walker) result() []byte { return append(w.out, w.raw[w.copied:]...) }

// inner shows the visitor a text, or where it is JSON itself, as the data of
// custom elements mostly is, each text in that. Names of fields are the app's own.
func inner(s string, v visitor, depth int) (instead string, replace bool) {
	if first := firstByte(s); first == '{' || first == '[' {
		if raw := []byte(s); json.Valid(raw) {
			w := walker{raw: raw, v: v, all: true, depth: depth}
			w.value(0, true)
			if w.replaced {
				instead = string(w.result())
			}
			return instead, w.replaced
		}
	}
	return v.text(s)
}

func firstByte(s string) byte {
	for i := range len(s) {
		if s[i] != ' ' && s[i] != '\n' && s[i] != '\t' && s[i] != '\r' {
			return s[i]
		}
	}
	return 0
}

// quoted writes a text as JSON, without the escapes that only web pages need.
func quoted(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a text always encodes
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
