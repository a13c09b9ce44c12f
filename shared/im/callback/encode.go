package callback

import (
	"bytes"
	"encoding/json"
)

// Encode writes an event. Received parts that have not changed are written as they
// were received, at every level, with unknown fields; changed fields are replaced, and
// added fields follow at the end.
func Encode(e Event) ([]byte, error) {
	is, err := marshal(e)
	raw := e.base().raw
	if err != nil || raw == nil {
		return is, err
	}
	received, err := Decode(e.Command(), raw)
	if err != nil {
		return nil, err
	}
	was, err := marshal(received)
	if err != nil {
		return nil, err
	}
	return merge(raw, was, is), nil
}

// marshal writes JSON with <, > and & as they are: IM bounds a message's bytes.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// merge applies to raw the difference between what was read from it and what
// that is now.
func merge(raw, was, is []byte) []byte {
	if bytes.Equal(was, is) {
		return raw
	}
	if r, err := splitChecked(raw, nil); err == nil {
		w, werr := splitChecked(was, nil)
		i, ierr := splitChecked(is, nil)
		if werr == nil && ierr == nil {
			return mergeObjects(r, w, i).join()
		}
	}
	if r, ok := splitArray(raw); ok {
		w, wok := splitArray(was)
		i, iok := splitArray(is)
		if wok && iok && len(r) == len(w) {
			return mergeArrays(r, w, i)
		}
	}
	return is
}

func mergeObjects(raw, was, is fields) fields {
	var out fields
	for _, f := range raw {
		switch w, i := was.find(f.name), is.find(f.name); {
		case i == nil && w != nil: // emptied since
			continue
		case i == nil: // not one of ours, or empty from the start
		case w == nil:
			f.value = i.value
		default:
			f.value = merge(f.value, w.value, i.value)
		}
		out = append(out, f)
	}
	for _, f := range is {
		w := was.find(f.name)
		if raw.find(f.name) == nil && (w == nil || !bytes.Equal(w.value, f.value)) {
			out = append(out, f)
		}
	}
	return out
}

// mergeArrays keeps what an unchanged item came with, wherever the item is now.
func mergeArrays(raw, was, is [][]byte) []byte {
	out := []byte{'['}
	for n, item := range is {
		if n > 0 {
			out = append(out, ',')
		}
		switch from := indexOf(was, item, n); {
		case from >= 0:
			item = raw[from]
		case len(is) == len(was):
			item = merge(raw[n], was[n], item)
		}
		out = append(out, item...)
	}
	return append(out, ']')
}

// indexOf returns where item is in list, at best at near, or -1.
func indexOf(list [][]byte, item []byte, near int) int {
	if near < len(list) && bytes.Equal(list[near], item) {
		return near
	}
	for i := range list {
		if bytes.Equal(list[i], item) {
			return i
		}
	}
	return -1
}
