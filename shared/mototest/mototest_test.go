package mototest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/mototest"
)

func TestStart(t *testing.T) {
	url := mototest.Start(t)
	res, err := http.Get(url + "/moto-api/data.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
	if again := mototest.Start(t); again != url {
		t.Errorf("a second server at %s", again)
	}
}

// TestFewerItems: calls that see a part of the table answer as those that see all of
// it, and a transaction that fails leaves nothing, though moto changes items in place.
func TestFewerItems(t *testing.T) {
	url := mototest.Start(t)
	call := func(operation, body string) (answer string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-amz-json-1.0")
		r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=test")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		read, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(read)
	}
	call("CreateTable", `{"TableName":"few","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"S"}],
		"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}]}`)
	add := func(pk, sk string) string {
		return `{"Update":{"TableName":"few","Key":{"pk":{"S":"` + pk + `"},"sk":{"S":"` + sk + `"}},
			"UpdateExpression":"ADD n :one","ExpressionAttributeValues":{":one":{"N":"1"}}}}`
	}
	absent := func(pk, sk string) string {
		return `{"Put":{"TableName":"few","Item":{"pk":{"S":"` + pk + `"},"sk":{"S":"` + sk + `"}},
			"ConditionExpression":"attribute_not_exists(pk)"}}`
	}
	remove := func(pk, sk string) string {
		return `{"Delete":{"TableName":"few","Key":{"pk":{"S":"` + pk + `"},"sk":{"S":"` + sk + `"}}}}`
	}
	transact := func(actions ...string) string {
		return call("TransactWriteItems", `{"TransactItems":[`+strings.Join(actions, ",")+`]}`)
	}
	list := func(pk string) string {
		return call("Query", `{"TableName":"few","KeyConditionExpression":"pk = :p","ExpressionAttributeValues":{":p":{"S":"`+pk+`"}}}`)
	}

	if answer := transact(add("a", "1"), absent("a", "2"), absent("b", "1")); strings.Contains(answer, "__type") {
		t.Fatal(answer)
	}
	a := `{"Items":[{"pk":{"S":"a"},"sk":{"S":"1"},"n":{"N":"1"}},{"pk":{"S":"a"},"sk":{"S":"2"}}],"Count":2,"ScannedCount":2}`
	if got := strings.ReplaceAll(list("a"), " ", ""); got != a {
		t.Errorf("a: %s", got)
	}
	if answer := transact(add("a", "1"), remove("a", "2"), add("c", "1"), absent("b", "1")); !strings.Contains(answer, "TransactionCanceledException") ||
		!strings.Contains(strings.ReplaceAll(answer, " ", ""), `{"Code":"ConditionalCheckFailed"`) {
		t.Errorf("a condition that fails: %s", answer)
	}
	if answer := transact(add("a", "1"), remove("a", "1")); !strings.Contains(answer, "ValidationException") {
		t.Errorf("one item twice: %s", answer)
	}
	if got := strings.ReplaceAll(list("a"), " ", ""); got != a {
		t.Errorf("a after transactions that failed: %s", got)
	}
	if got := strings.ReplaceAll(list("c"), " ", ""); !strings.Contains(got, `"Count":0`) {
		t.Errorf("c after transactions that failed: %s", got)
	}
	if answer := transact(remove("a", "2"), add("a", "1")); strings.Contains(answer, "__type") {
		t.Fatal(answer)
	}
	if got := strings.ReplaceAll(list("a"), " ", ""); !strings.Contains(got, `"Count":1`) || !strings.Contains(got, `"n":{"N":"2"}`) {
		t.Errorf("a at the end: %s", got)
	}
}
