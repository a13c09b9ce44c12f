package apipage

import (
	"strings"
	"testing"
)

func TestHTML(t *testing.T) {
	got, err := HTML([]byte(`
info: {title: A <title>}
tags: [{name: rooms, description: live rooms}]
paths:
  /rooms/{id}:
    get:
      tags: [rooms]
      summary: one room
      security: [{apiKey: []}]
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses:
        '200': {description: it, content: {application/json: {schema: {$ref: '#/components/schemas/Room'}}}}
components:
  schemas:
    Room: {type: object, required: [name], properties: {name: {type: string}, sub: {$ref: '#/components/schemas/Room'}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"A &lt;title&gt;", `id="get-rooms-id"`, "GET /rooms/{id}", "servers, by API key", "name: text", "sub?: {", "(required)"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%q is missing:\n%s", want, got)
		}
	}
	for _, bad := range []string{"<script", "http://", "https://"} {
		if strings.Contains(string(got), bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if _, err := HTML([]byte("paths: {}")); err == nil {
		t.Error("a page without operations")
	}
}
