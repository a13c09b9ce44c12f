package dynamotest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
)

// parts is how many tables of the emulator stand for one of the test's.
const parts = 64

// split gives each request the part of its table that holds its partition. moto copies
// a whole table for each transaction and reads all of it for each query, so what one
// call takes would grow with everything that a test has written. A part is made when
// it is first used, which takes longer than a call on a small table. Tables that this
// proxy did not see being made stay whole, and so does a backup: it holds no parts.
//
// A request that writes to two partitions at once is refused, though DynamoDB would
// take it: no commit of package dynamokv does so.
type split struct {
	made map[string]object // CreateTable's request, by table
	used map[string]bool   // parts that were made
}

// route returns the request as it goes to the emulator, and how to name the test's
// table in the answer.
func (p *Proxy) route(r *http.Request, operation string, body []byte) (routed []byte, restore func([]byte) []byte, err error) {
	same := func(answer []byte) []byte { return answer }
	if p.split == nil {
		return body, same, nil
	}
	var request object
	if json.Unmarshal(body, &request) != nil {
		return body, same, nil
	}
	if operation == "CreateTable" {
		name, _ := request["TableName"].(string)
		p.split.made[name] = request
		return body, same, nil
	}
	actions, rename := actionsOf(operation, request)
	if len(actions) == 0 {
		return body, same, nil
	}
	name, partition := actions[0].table, actions[0].partition
	for _, a := range actions {
		if a.table != name || a.partition != partition {
			return nil, nil, fmt.Errorf("%s of partitions %q and %q at once: the test's proxy takes one", operation, partition, a.partition)
		}
	}
	if p.split.made[name] == nil {
		return body, same, nil
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(partition))
	part := fmt.Sprintf("%s.%02x", name, hash.Sum32()%parts)
	if err := p.makePart(r, name, part); err != nil {
		return nil, nil, err
	}
	rename(part)
	return encode(request), func(answer []byte) []byte {
		return bytes.ReplaceAll(answer, encode(part), encode(name))
	}, nil
}

// makePart makes a part of a table at the emulator, once.
func (p *Proxy) makePart(r *http.Request, name, part string) error {
	if p.split.used[part] {
		return nil
	}
	request := object{}
	for field, v := range p.split.made[name] {
		request[field] = v
	}
	request["TableName"] = part
	making := r.Clone(r.Context())
	making.Header.Set("X-Amz-Target", "DynamoDB_20120810.CreateTable")
	answer, status, _, err := p.forward(making, encode(request))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("CreateTable %s: %d %s", part, status, answer)
	}
	p.split.used[part] = err == nil
	return err
}

// action is what a request does to one item, or to one partition.
type action struct{ table, partition string }

// actionsOf returns what a request does, and how to have it do so in another table.
func actionsOf(operation string, request object) (actions []action, rename func(table string)) {
	one := func(o object) {
		table, _ := o["TableName"].(string)
		actions = append(actions, action{table, textOf(keyOf(o)["pk"])})
	}
	switch operation {
	case "GetItem", "PutItem", "UpdateItem", "DeleteItem":
		one(request)
	case "Query":
		values, _ := request["ExpressionAttributeValues"].(object)
		table, _ := request["TableName"].(string)
		actions = append(actions, action{table, textOf(values[":p"])})
	case "BatchGetItem":
		tables, _ := request["RequestItems"].(object)
		for table, wanted := range tables {
			keys, _ := wanted.(object)["Keys"].([]any)
			for _, key := range keys {
				actions = append(actions, action{table, textOf(key.(object)["pk"])})
			}
			rename = func(part string) { request["RequestItems"] = object{part: wanted} }
		}
		return actions, rename
	case "TransactWriteItems":
		items, _ := request["TransactItems"].([]any)
		for _, entry := range items {
			for _, o := range entry.(object) {
				one(o.(object))
			}
		}
		return actions, func(part string) {
			for _, entry := range items {
				for _, o := range entry.(object) {
					o.(object)["TableName"] = part
				}
			}
		}
	}
	return actions, func(part string) { request["TableName"] = part }
}

// textOf is a value of type S.
func textOf(v any) string {
	typed, _ := v.(object)
	s, _ := typed["S"].(string)
	return s
}
