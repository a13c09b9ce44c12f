package repotest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/backchannel-im/backchannel/shared/metric"
)

// emf are the rules of CloudWatch's embedded metric format for its metadata, after the
// schema in "Specification: Embedded metric format" of CloudWatch's user guide.
const emf = `{
	"type": "object", "required": ["_aws"],
	"properties": {"_aws": {
		"type": "object", "required": ["Timestamp", "CloudWatchMetrics"], "additionalProperties": false,
		"properties": {
			"Timestamp": {"type": "integer", "minimum": 1},
			"CloudWatchMetrics": {"type": "array", "minItems": 1, "items": {
				"type": "object", "required": ["Namespace", "Dimensions", "Metrics"], "additionalProperties": false,
				"properties": {
					"Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
					"Dimensions": {"type": "array", "minItems": 1, "items": {
						"type": "array", "maxItems": 30, "items": {"type": "string", "minLength": 1, "maxLength": 250}}},
					"Metrics": {"type": "array", "maxItems": 100, "items": {
						"type": "object", "required": ["Name"], "additionalProperties": false,
						"properties": {
							"Name": {"type": "string", "minLength": 1, "maxLength": 1024},
							"Unit": {"enum": ["Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits", "Megabits", "Gigabits", "Terabits", "Percent", "Count", "Bytes/Second", "Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second", "Terabytes/Second", "Bits/Second", "Kilobits/Second", "Megabits/Second", "Gigabits/Second", "Terabits/Second", "Count/Second", "None"]},
							"StorageResolution": {"enum": [1, 60]}}}}}}}}}},
	"additionalProperties": {"anyOf": [
		{"type": "string", "minLength": 1, "maxLength": 1024},
		{"type": "number"},
		{"type": "array", "minItems": 1, "maxItems": 100, "items": {"type": "number"}},
		{"type": "object", "required": ["Values", "Counts"], "additionalProperties": false, "properties": {
			"Values": {"type": "array", "minItems": 1, "maxItems": 100, "items": {"type": "number"}},
			"Counts": {"type": "array", "minItems": 1, "maxItems": 100, "items": {"type": "number"}}}}]}
}`

// TestMetricLines: each line of metrics is a document in embedded metric format.
func TestMetricLines(t *testing.T) {
	rules, err := jsonschema.UnmarshalJSON(strings.NewReader(emf))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("emf.json", rules); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("emf.json")
	if err != nil {
		t.Fatal(err)
	}
	metric.Callbacks.Add(1, strings.Repeat("ö\"", 300), "")
	metric.OldestJob.Add(-0.25)
	metric.Units.Add(1e18)
	for n := range 500 {
		metric.CallbackTime.Add(float64(n), "Group.CallbackAfterSendMsg")
		metric.JobTime.Add(1, "a kind")
	}
	metric.RequestTime.Add(0, "GET /rooms/{id}/stats")
	var text bytes.Buffer
	if err := metric.Flush(&text, "bundle", time.Now()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) < 6 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, line := range lines {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err == nil {
			err = schema.Validate(document)
		}
		if err != nil || len(line) > 256<<10 {
			t.Errorf("%v\n%s", err, line)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &members); err != nil {
			t.Error(err)
		}
		var meta struct {
			CloudWatchMetrics []struct {
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		}
		if err := json.Unmarshal(members["_aws"], &meta); err != nil {
			t.Error(err)
		}
		// The target members are there: without them CloudWatch drops the document.
		for _, m := range meta.CloudWatchMetrics {
			for _, name := range m.Metrics {
				if members[name.Name] == nil {
					t.Errorf("no member %s: %s", name.Name, line)
				}
			}
			for _, name := range m.Dimensions[0] {
				if members[name] == nil {
					t.Errorf("no member %s: %s", name, line)
				}
			}
		}
	}
	if rest := lines[0][1:]; schema.Validate(rest) == nil {
		t.Error("the schema takes everything")
	}
}
