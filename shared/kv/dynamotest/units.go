package dynamotest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"strings"
)

// cost is what one request writes, by partition key.
type cost struct {
	write float64
	byKey map[string]float64
}

type object = map[string]any

// price computes the write units of a request from the sizes of the items it
// leaves behind (or finds, if those are larger), as DynamoDB's manual says: one
// unit a started KB, twice that in a transaction, and one for each entry of a
// local index that is made, changed or removed. A condition that fails costs
// the same.
func (p *Proxy) price(r *http.Request, operation string, body []byte) cost {
	c := cost{byKey: map[string]float64{}}
	var request object
	if !writes[operation] || json.Unmarshal(body, &request) != nil {
		return c
	}
	add := func(action object, kind string, factor float64) {
		key := keyOf(action)
		before := p.read(r, action["TableName"], key)
		after := before
		switch kind {
		case "Put":
			after, _ = action["Item"].(object)
		case "Delete":
			after = nil
		case "Update":
			after = updated(before, action, key)
		}
		units := math.Ceil(float64(max(size(before), size(after), 1)) / 1024)
		if kind != "ConditionCheck" {
			units += indexUnits(before, after)
		}
		units *= factor
		c.write += units
		c.byKey[string(encode(key["pk"]))] += units
	}
	if operation != "TransactWriteItems" {
		add(request, strings.TrimSuffix(operation, "Item"), 1)
		return c
	}
	items, _ := request["TransactItems"].([]any)
	for _, entry := range items {
		for kind, action := range entry.(object) {
			add(action.(object), kind, 2)
		}
	}
	return c
}

func keyOf(action object) object {
	if key, is := action["Key"].(object); is {
		return key
	}
	item, _ := action["Item"].(object)
	return object{"pk": item["pk"], "sk": item["sk"]}
}

// read asks the emulator for an item; that costs the test nothing.
func (p *Proxy) read(r *http.Request, table any, key object) object {
	look := r.Clone(r.Context())
	look.Header.Set("X-Amz-Target", "DynamoDB_20120810.GetItem")
	answer, _, _, err := p.forward(look, encode(object{"TableName": table, "Key": key, "ConsistentRead": true}))
	var found struct{ Item object }
	if err != nil || json.Unmarshal(answer, &found) != nil {
		return nil
	}
	return found.Item
}

// updated estimates an item after an update: what it was, with the values that
// the update names in it as if each were new. It is never too small.
func updated(before, action, key object) object {
	after := object{}
	for name, v := range before {
		after[name] = v
	}
	for name, v := range key {
		after[name] = v
	}
	expression, _ := action["UpdateExpression"].(string)
	set, removed, _ := strings.Cut(expression, " REMOVE ")
	names, _ := action["ExpressionAttributeNames"].(object)
	values, _ := action["ExpressionAttributeValues"].(object)
	for placeholder, v := range values {
		if !strings.Contains(set+" ", placeholder+" ") && !strings.Contains(set+",", placeholder+",") && !strings.HasSuffix(set, placeholder) {
			continue // used by the condition alone
		}
		after["value "+placeholder] = v
	}
	for placeholder, name := range names {
		if strings.HasPrefix(placeholder, "#c") {
			if counters, is := before["c"].(object); !is || counters["M"] == nil || counters["M"].(object)[name.(string)] == nil {
				after["name "+name.(string)] = object{"NULL": true}
			}
		}
	}
	for _, name := range strings.Split(removed, ",") {
		name = strings.TrimSpace(name)
		if full, is := names[name].(string); is {
			name = full
		}
		delete(after, name)
	}
	if strings.Contains(set, "#open = ") {
		after["open"] = values[":name"]
	}
	if strings.Contains(set, "c = :none") {
		after["c"] = object{"M": object{}}
	}
	return after
}

// indexUnits is what the entry of the local index costs: its keys are below a
// KB.
func indexUnits(before, after object) float64 {
	was, is := before["open"], after["open"]
	switch {
	case was == nil && is == nil, was != nil && is != nil && bytes.Equal(encode(was), encode(is)):
		return 0
	case was != nil && is != nil:
		return 2 // removed and made
	}
	return 1
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it was decoded from JSON
	}
	return b
}

// size is an item's size by DynamoDB's rules, in bytes.
func size(item object) int {
	n := 0
	for name, v := range item {
		n += len(name) + valueSize(v)
	}
	return n
}

func valueSize(v any) int {
	typed, is := v.(object)
	if !is {
		return 0
	}
	n := 0
	for kind, v := range typed {
		switch kind {
		case "S":
			n += len(v.(string))
		case "N":
			n += len(v.(string))/2 + 2
		case "B":
			s := strings.TrimRight(v.(string), "=")
			n += base64.RawStdEncoding.DecodedLen(len(s))
		case "BOOL", "NULL":
			n++
		case "BS", "SS", "NS":
			for _, e := range v.([]any) {
				n += valueSize(object{kind[:1]: e})
			}
		case "L":
			n += 3
			for _, e := range v.([]any) {
				n += 1 + valueSize(e)
			}
		case "M":
			n += 3
			for name, e := range v.(object) {
				n += 1 + len(name) + valueSize(e)
			}
		}
	}
	return n
}

// readUnits prices an answer's items: one unit each started 4 KB, read
// consistently.
func readUnits(operation string, answer []byte) float64 {
	switch operation {
	case "GetItem", "Query":
		return math.Ceil(float64(max(len(answer), 1)) / 4096)
	case "BatchGetItem":
		var found struct{ Responses map[string][]object }
		if json.Unmarshal(answer, &found) != nil {
			return 0
		}
		units := 0.0
		for _, items := range found.Responses {
			for _, item := range items {
				units += math.Ceil(float64(size(item)) / 4096)
			}
		}
		return units
	}
	return 0
}

// over spends a request's units against the limit of each partition key.
func (p *Proxy) over(c cost) bool {
	if p.limit == 0 {
		return false
	}
	now := p.now().Unix()
	for key, units := range c.byKey {
		s := p.spent[key]
		if s == nil || s.at != now {
			s = &second{at: now}
			p.spent[key] = s
		}
		if s.units+units > p.limit {
			return true
		}
	}
	for key, units := range c.byKey {
		p.spent[key].units += units
	}
	return false
}
