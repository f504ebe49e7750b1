package capture

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf16"
)

func TestRefusesWhatIsNoRequestAndSaysWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"nothing":                   {"", "the capture is empty"},
		"blanks":                    {" \r\n\t", "the capture is empty"},
		"a mark and nothing else":   {"\xEF\xBB\xBF\n", "the capture is empty"},
		"UTF-16 of nothing":         {"\xFF\xFE", "the capture is empty"},
		"a head without end":        {"POST / HTTP/1.1\nA: b", "no empty line"},
		"words":                     {"hello\n\nbody", "request line"},
		"a method in lower case":    {"post / HTTP/1.1\n\n", "request line"},
		"a request line too long":   {"POST /a b HTTP/1.1\n\n", "request line"},
		"an answer":                 {"HTTP/1.1 200 OK\nA: b\n\nx", "this is an answer"},
		"a page":                    {"<html></html>", "this is a document"},
		"a form alone":              {"app_id=1&sign=abc", "this is a body alone"},
		"a header without colon":    {"POST / HTTP/1.1\nA: b\nbroken header\n\nx", "line 3 is not a header"},
		"a header with a blank":     {"POST / HTTP/1.1\nA b: c\n\nx", "line 2 has no header name"},
		"HTTP/2 without method":     {":path: /x\na: b\n\nx", "no :method"},
		"chunks that are cut off":   {"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n2\r\n{}\r\n", "the last one is missing"},
		"a body alone":              {`{"order": 1}`, `"headers" is missing`},
		"broken JSON":               {`{"headers": `, "begins as JSON but is not"},
		"a body as an object":       {`{"headers":{},"body":{"a":1}}`, "must be a text that holds the exact bytes"},
		"two bodies":                {`{"headers":{},"body":"a","bodyBase64":"YQ=="}`, "give one"},
		"a body not in base64":      {`{"headers":{},"bodyBase64":"%%"}`, "is not base64"},
		"a body marked base64":      {`{"headers":{},"body":"%%","base64":true}`, "is not base64"},
		"headers as a text":         {`{"headers":"a: b","body":""}`, `"headers" must be an object`},
		"a header that is a list":   {`{"headers":{"a":[1]},"body":""}`, "headers.a must be a text"},
		"a header pair without":     {`{"headers":[{"name":"a"}],"body":""}`, "headers[0] must be"},
		"a header with a line end":  {`{"headers":{"a":"b\r\nc: d"},"body":""}`, "line end inside"},
		"a method that is none":     {`{"headers":{},"method":"PO ST"}`, "no method of HTTP"},
		"an empty list":             {`[]`, "holds no request"},
		"a list of texts":           {`["a"]`, "is an object"},
		"several requests":          {`[{"url":"/a?s=SECRET","headers":{}},{"url":"/b","headers":{}}]`, "\n  1  /a\n  2  /b"},
		"an archive without any":    {`{"log":{"entries":[]}}`, "holds no request"},
		"an entry without request":  {`{"log":{"entries":[{}]}}`, "holds no request"},
		"an entry without method":   {`{"log":{"entries":[{"request":{"url":"/"}}]}}`, "no method"},
		"an entry without headers":  {`{"log":{"entries":[{"request":{"method":"POST","url":"/"}}]}}`, "no headers"},
		"an entry without its body": {`{"log":{"entries":[{"request":{"method":"POST","url":"/","headers":[],"bodySize":7}}]}}`, "does not hold it"},
		"the fields of a multipart": {`{"log":{"entries":[{"request":{"method":"POST","url":"/","headers":[],"postData":{"mimeType":"multipart/form-data; boundary=x","params":[{"name":"a","value":"b"}]}}}]}}`, "capture raw HTTP"},

		"curl alone":                    {"curl", "names no URL"},
		"two curls":                     {"curl http://x/ -d a; curl http://y/ -d b", "two commands"},
		"curl and then curl":            {"curl http://x/ -d a && curl http://y/ -d b", "two commands"},
		"curl with a file":              {"curl http://x/ --data-binary @body.json", "takes what it sends from a file"},
		"curl with a file, attached":    {"curl http://x/ -d@body.json", "takes what it sends from a file"},
		"curl with a file, urlencode":   {"curl http://x/ --data-urlencode a@body.json", "takes what it sends from a file"},
		"curl with a file of headers":   {"curl http://x/ -H @headers", "takes what it sends from a file"},
		"curl with standard input":      {"curl http://x/ -d @- < body.json", "takes what it sends from a file"},
		"curl with a redirected input":  {"curl http://x/ < body.json", "takes what it sends from a file"},
		"curl with a form":              {"curl http://x/ -F a=b", "capture raw HTTP"},
		"curl with an upload":           {"curl -T x http://x/", "capture raw HTTP"},
		"curl with a configuration":     {"curl -K x http://x/", "capture raw HTTP"},
		"curl of two URLs":              {"curl http://x/ http://y/", "two URLs"},
		"curl with --next":              {"curl http://x/ --next http://y/", "several requests"},
		"curl with an unknown option":   {"curl http://x/ --frobnicate yes", "--frobnicate is not known"},
		"curl with an unknown letter":   {"curl http://x/ -sW", "-W is not known"},
		"curl that is cut off":          {"curl http://x/ -H", "needs a value"},
		"curl with an open quote":       {"curl http://x/ -d '{\"a\":1", "a quote is opened"},
		"curl with an open double one":  {"curl http://x/ -d \"{", "a quote is opened"},
		"curl with an open dollar one":  {"curl http://x/ -d $'{", "a quote is opened"},
		"curl with a bare ampersand":    {"curl http://x/?a=1&b=2", "put the URL in quotes"},
		"curl with a variable":          {`curl http://x/ -H "X-Sign: $SIGN"`, "holds a variable"},
		"curl with a command":           {"curl http://x/ -d \"`date`\"", "holds a variable"},
		"curl with a bare variable":     {"curl $URL", "holds a variable"},
		"curl with a broken header":     {"curl http://x/ -H nonsense", "not of the form"},
		"two commands":                  {"curl http://x/\necho done", "give one command"},
		"a method of curl that is none": {"curl -X 'A B' http://x/", "no method of HTTP"},

		"the prompt's open quote":       {"curl \"http://x/\" ^\n -d \"{", "a quote is opened"},
		"the prompt's bare ampersand":   {"curl ^\"http://x/^\"&b", "put the URL in quotes"},
		"PowerShell's variable":         {"Invoke-WebRequest -Uri $uri", "holds a variable"},
		"PowerShell's variable in text": {`Invoke-WebRequest -Uri "http://$host/"`, "holds a variable"},
		"PowerShell's file":             {"Invoke-WebRequest -Uri http://x/ -InFile a.json", "from a file"},
		"PowerShell's function":         {"Invoke-WebRequest -Uri http://x/ -Body (Get-Content x)", "is not read here"},
		"PowerShell's conversion":       {"irm http://x/ -Body (@{a=1} | ConvertTo-Json)", "is not read here"},
		"PowerShell without address":    {"Invoke-WebRequest -Method POST", "no -Uri"},
		"PowerShell with an open quote": {`iwr "http://x/`, "a quote is opened"},
		"PowerShell with an open table": {`iwr http://x/ -Headers @{ "a"="b"`, "is not read here"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Read([]byte(c.text), Auto, Choice{})
			if err == nil {
				t.Fatalf("read as %s: %+v", r.Format, r.Inbound)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("said %q, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("repeated a query: %q", err)
			}
		})
	}
}

func TestRefusesAChoiceThatCannotBe(t *testing.T) {
	two := `[{"url":"/in/a","headers":{}},{"url":"/in/b","headers":{}}]`
	for name, c := range map[string]struct {
		text   string
		format Format
		choice Choice
		want   string
	}{
		"an unknown format":         {"x", "pcap", Choice{}, "is not a format"},
		"a negative index":          {two, Auto, Choice{Index: -1}, "1 or more"},
		"an index beyond":           {two, Auto, Choice{Index: 3}, "holds 2"},
		"a URL that none has":       {two, Auto, Choice{URL: "/c"}, "no request fits"},
		"a URL that both have":      {two, Auto, Choice{URL: "/in"}, "several requests fit"},
		"an index and another URL":  {two, Auto, Choice{Index: 1, URL: "/b"}, "no request fits"},
		"a choice among one":        {`{"headers":{}}`, Auto, Choice{Index: 2}, "leave the index out"},
		"a choice in raw HTTP":      {"POST / HTTP/1.1\n\n", Auto, Choice{Index: 1}, "only a HAR or a JSON list"},
		"raw HTTP forced on JSON":   {`{"headers":{}}`, HTTP, Choice{}, "no empty line"},
		"curl forced on raw HTTP":   {"POST / HTTP/1.1\n\n", Curl, Choice{}, "must begin with curl"},
		"HAR forced on other JSON":  {`{}`, HAR, Choice{}, "no HTTP archive"},
		"PowerShell forced on curl": {"wget x", PowerShell, Choice{}, "must begin with curl"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Read([]byte(c.text), c.format, c.choice); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("said %v, want %q", err, c.want)
			}
		})
	}
	if _, err := Read(make([]byte, MaxText+1), Auto, Choice{}); err == nil {
		t.Error("read more than it may")
	}
}

// body is what most requests below hold: everything that shells, JSON and forms treat in their own ways.
const body = `{"名称":"it's \"5\" + 5%", "n": 1.0, "p":"\\u0041&b=c^d` + "`" + `$x !"}`

func TestReadsTheSameRequestFromEveryForm(t *testing.T) {
	quoted, _ := json.Marshal(body)
	posix := "'" + strings.ReplaceAll(body, "'", `'\''`) + "'"
	ansi := "$'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "名", `\u540d`).Replace(body) + "'"
	double := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", "$", `\$`).Replace(body) + `"`
	// The prompt's: quotes and what stands before them by backslash, and everything that the prompt reads by caret.
	program := strings.NewReplacer(`\\`, `\\`, `\"`, `\\\"`, `"`, `\"`).Replace(body)
	caret := `^"` + strings.NewReplacer(`"`, `^"`, "^", "^^", "&", "^&", "%", "^%", `\`, `^\`, "!", "^!").Replace(program) + `^"`
	doubled := `"` + strings.ReplaceAll(strings.ReplaceAll(body, `\"`, `\\"`), `"`, `""`) + `"`
	power := `"` + strings.NewReplacer("`", "``", `"`, "`\"", "$", "`$", "名", "$([char]0x540d)").Replace(body) + `"`
	single := "'" + strings.ReplaceAll(body, "'", "''") + "'"
	har := `{"log":{"entries":[{"request":{"method":"GET","url":"http://h/"}},{"request":{"method":"POST","url":"http://h/in/d?a=1&b=%2F#f",
		"headers":[{"name":":method","value":"POST"},{"name":"x-sign","value":"abc=="},{"name":"Content-Type","value":"application/json"}],
		"postData":{"mimeType":"application/json","text":` + string(quoted) + `}}}]}}`
	head := "X-Sign: abc==\nContent-Type: application/json\n"

	for name, c := range map[string]struct {
		text   string
		format Format
		choice Choice
	}{
		"raw":             {"POST /in/d?a=1&b=%2F HTTP/1.1\n" + head + "\n" + body, HTTP, Choice{}},
		"raw, CRLF":       {strings.ReplaceAll("POST /in/d?a=1&b=%2F HTTP/1.1\n"+head+"\n", "\n", "\r\n") + body, HTTP, Choice{}},
		"raw, marked":     {"\xEF\xBB\xBFPOST http://h/in/d?a=1&b=%2F HTTP/1.1\n" + head + "\n" + body, HTTP, Choice{}},
		"raw, HTTP/2":     {":method: POST\n:path: /in/d?a=1&b=%2F\n" + head + "\n" + body, HTTP, Choice{}},
		"raw, folded":     {"POST /in/d?a=1&b=%2F HTTP/1.1\nX-Sign:\n\tabc==\nContent-Type: application/json\n\n" + body, HTTP, Choice{}},
		"UTF-16":          {inUTF16("POST /in/d?a=1&b=%2F HTTP/1.1\n" + head + "\n" + body), HTTP, Choice{}},
		"curl, single":    {"curl -X POST 'http://h/in/d?a=1&b=%2F' \\\n  -H 'X-Sign: abc==' \\\r\n -H 'Content-Type: application/json' --data-raw " + posix + " | jq .", Curl, Choice{}},
		"curl, ANSI":      {"$ curl http://h/in/d?a=1\\&b=%2F -H $'X-Sign: abc\\x3d=' -sSLk -H 'Content-Type: application/json' --data-binary " + ansi, Curl, Choice{}},
		"curl, double":    {"curl \"http://h/in/d?a=1&b=%2F\" --compressed -H \"X-Sign: abc==\" -H \"Content-Type: application/json\" -d " + double + " > out 2>&1", Curl, Choice{}},
		"curl, attached":  {"curl -XPOST -H'X-Sign: abc==' --json " + posix + " -o/dev/null 'http://h/in/d?a=1&b=%2F'", Curl, Choice{}},
		"curl, lost ends": {"curl 'http://h/in/d?a=1&b=%2F'\n  -H 'X-Sign: abc=='\n -H 'Content-Type: application/json' \\ \n --data-raw " + posix + "\n", Curl, Choice{}},
		"prompt":          {"curl ^\"http://h/in/d?a=1^&b=^%^2F^\" ^\r\n  -H ^\"X-Sign: abc==^\" ^\r\n  -H ^\"Content-Type: application/json^\" ^\r\n  --data-raw " + caret, Cmd, Choice{}},
		"prompt, doubled": {"curl \"http://h/in/d?a=1&b=%2F\" --compressed -H \"X-Sign: abc==\" -H \"Content-Type: application/json\" --data-raw " + doubled, Cmd, Choice{}},
		"curl.exe":        {"PS C:\\> curl.exe 'http://h/in/d?a=1&b=%2F' `\n -H 'X-Sign: abc==' `\n -H \"Content-Type: application/json\" `\n --data-raw " + single, PowerShell, Choice{}},
		"PowerShell": {"$session = New-Object Microsoft.PowerShell.Commands.WebRequestSession\n$session.UserAgent = \"x\"\n" +
			"Invoke-WebRequest -UseBasicParsing -Uri \"http://h/in/d?a=1&b=%2F\" `\n-Method \"POST\" `\n-WebSession $session `\n" +
			"-Headers @{\n\"X-Sign\"=\"abc==\"\n  \"path\"=\"/in/d\"\n} `\n-ContentType \"application/json\" `\n" +
			"-Body ([System.Text.Encoding]::UTF8.GetBytes(" + power + "))", PowerShell, Choice{}},
		"PowerShell, one line": {"$r = irm 'http://h/in/d?a=1&b=%2F' -Method:Post -Headers @{'X-Sign'='abc=='; 'Content-Type' = 'application/json'} -Body " + single + " | ConvertTo-Json", PowerShell, Choice{}},
		"PowerShell, lines":    {"Invoke-RestMethod -Uri 'http://h/in/d?a=1&b=%2F' -Method Post -Headers @{'X-Sign'='abc=='} -ContentType application/json -Body @'\n" + body + "\n'@", PowerShell, Choice{}},
		"archive by index":     {har, HAR, Choice{Index: 2}},
		"archive by URL":       {har, HAR, Choice{URL: "/in/d"}},
		"JSON":                 {`{"method":"POST","url":"http://h/in/d?a=1&b=%2F","headers":{"x-sign":"abc==","content-type":["application/json"]},"body":` + string(quoted) + `}`, JSON, Choice{}},
		"JSON, base64":         {`{"path":"/in/d","query":"a=1&b=%2F","headers":["X-Sign: abc==","Content-Type: application/json"],"bodyBase64":"` + base64.StdEncoding.EncodeToString([]byte(body)) + `"}`, JSON, Choice{}},
		"JSON, as answered":    {`{"at":"2026-01-01T00:00:00Z","request":{"method":"POST","query":"a=1&b=%2F","headers":{"X-Sign":["abc=="],"Content-Type":["application/json"]},"body":"` + base64.StdEncoding.EncodeToString([]byte(body)) + `","base64":true}}`, JSON, Choice{}},
		"JSON, one of a list":  {`[{"url":"/x","headers":{}},{"httpMethod":"POST","rawQueryString":"a=1&b=%2F","url":"/y","headers":{"X-Sign":"abc==","Content-Type":"application/json"},"body":` + string(quoted) + `}]`, JSON, Choice{Index: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Read([]byte(c.text), Auto, c.choice)
			if err != nil {
				t.Fatal(err)
			}
			if r.Format != c.format {
				t.Errorf("read as %s", r.Format)
			}
			if r.Method != http.MethodPost || r.Query != "a=1&b=%2F" || string(r.Body) != body {
				t.Errorf("%s ?%s\n%s\nwant\n%s", r.Method, r.Query, r.Body, body)
			}
			if r.Header.Get("X-Sign") != "abc==" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%v", r.Header)
			}
		})
	}
}

func inUTF16(text string) string {
	b := []byte("\xFF\xFE")
	for _, u := range utf16.Encode([]rune(text)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

func TestKeepsTheBytesOfTheBody(t *testing.T) {
	for name, c := range map[string]struct{ text, body string }{
		"line ends and blank lines": {"POST / HTTP/1.1\nA: b\n\nline\r\n\r\nline\n", "line\r\n\r\nline\n"},
		"no body":                   {"POST / HTTP/1.1\r\nA: b\r\n\r\n", ""},
		"no headers":                {"POST / HTTP/1.1\n\nx", "x"},
		"a CRLF body behind LF":     {"POST / HTTP/1.1\nA: b\n\na\r\n\r\nb", "a\r\n\r\nb"},
		"bytes that are no text":    {"POST / HTTP/1.1\n\n\xc4\xe3\x00", "\xc4\xe3\x00"},
		"bytes by escape":           {`curl http://x/ -d $'\xc4\xe3\0\101\cé\u00e9'`, "\xc4\xe3\x00A\\cé\u00e9"},
		"a character above":         {`curl http://x/ -d $'\ud83d\ude00\U0001F600\ud83d'`, "😀😀\uFFFD"},
		"an at sign in data-raw":    {`curl http://x/ --data-raw @x`, "@x"},
		"several data":              {`curl http://x/ -d a=1 -d 'b=2 3'`, "a=1&b=2 3"},
		"encoded data":              {`curl http://x/ --data-urlencode 'a=b c+d' --data-urlencode '=e&f' --data-urlencode 'g h'`, "a=b%20c%2Bd&e%26f&g%20h"},
		"an empty argument":         {`curl http://x/ -d '' -d ""`, "&"},
		"adjacent pieces":           {`curl http://x/ -d 'a'"b"\c$'d'`, "abcd"},
		"a lone dollar":             {`curl http://x/ -d "a $ b$"`, "a $ b$"},
		"a backslash in double":     {`curl http://x/ -d "a\nb\\c"`, `a\nb\c`},
		"a line end in double":      {"curl http://x/ -d \"a\\\nb\nc\"", "ab\nc"},
		"the prompt's line end":     {"curl ^\"http://x/^\" --data-raw ^\"a^\n\nb^\"", "a\nb"},
		"the prompt's quotes":       {"curl \"http://x/\" ^\n --data-raw \"{\"\"a\"\":1,\\\"b\\\":\\\\}\"", `{"a":1,"b":\\}`},
		"PowerShell's escapes":      {"iwr http://x/ -Body \"a`r`n`tb`0\"", "a\r\n\tb\x00"},
		"PowerShell's character":    {`iwr http://x/ -Body "$([char]0xd83d)$([char]0xde00) $ 5"`, "😀 $ 5"},
		"PowerShell 5's quotes":     {`curl.exe http://x/ -d '{\"a\":1}'`, `{"a":1}`},
		"chunks":                    {"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\n\r\n", `{"a":1}`},
		"chunks that were joined":   {"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n{}", "{}"},
		"a form of an archive":      {`{"request":{"method":"POST","url":"/","httpVersion":"1.1","headers":[],"postData":{"mimeType":"application/x-www-form-urlencoded","params":[{"name":"a","value":"b c"},{"name":"d","value":"+"}]}}}`, "a=b+c&d=%2B"},
		"base64 of an archive":      {`{"method":"POST","url":"/","headers":[],"postData":{"text":"xOM=","encoding":"base64"}}`, "\xc4\xe3"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Read([]byte(c.text), Auto, Choice{})
			if err != nil {
				t.Fatal(err)
			}
			if string(r.Body) != c.body {
				t.Errorf("read as %s: %q, want %q", r.Format, r.Body, c.body)
			}
		})
	}
}

func TestCurlsOptionsShapeTheRequest(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"GET by default":           {"curl http://x/?a=1", "GET ?a=1"},
		"HEAD":                     {"curl -I http://x/", "HEAD ?"},
		"POST by data":             {"curl http://x/ -d a", "POST ? Content-Type=application/x-www-form-urlencoded a"},
		"-G moves data":            {"curl -G 'http://x/?a=1' -d b=2 --data-urlencode 'c= '", "GET ?a=1&b=2&c=%20"},
		"--url-query":              {"curl --url http://x/ --url-query 'a=b c'", "GET ?a=b%20c"},
		"-X wins":                  {"curl -X PUT -d a -H Content-Type: http://x/", "PUT ? a"},
		"an empty header":          {"curl http://x/ -H 'X-A;' -H 'X-B:'", "GET ? X-A="},
		"given wins over own":      {"curl http://x/ -A me -H 'User-Agent: you' -b a=b -e r", "GET ? Cookie=a=b Referer=r User-Agent=you"},
		"a cookie file is no file": {"curl http://x/ -b jar -u me:pw", "GET ? Authorization=Basic bWU6cHc="},
		"and then":                 {"curl -o x -m 5 http://x/ && echo done", "GET ?"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Read([]byte(c.text), Auto, Choice{})
			if err != nil {
				t.Fatal(err)
			}
			got := r.Method + " ?" + r.Query
			for _, h := range []string{"Authorization", "Content-Type", "Cookie", "Referer", "User-Agent", "X-A", "X-B"} {
				if v, ok := r.Header[h]; ok {
					got += " " + h + "=" + v[0]
				}
			}
			if got = strings.TrimSuffix(got+" "+string(r.Body), " "); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestNotesSayWhatWasDoneAndWhatIsLost(t *testing.T) {
	for name, c := range map[string]struct{ text, body, note string }{
		"nothing to note":       {"POST / HTTP/1.1\nContent-Length: 2\n\n{}", "{}", ""},
		"an editor's line end":  {"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}\n", "{}", "cut 1 line-end bytes"},
		"the answer behind":     {"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}\r\nHTTP/1.1 401 Unauthorized\r\n\r\n", "{}", "cut the answer"},
		"a body too short":      {"POST / HTTP/1.1\nContent-Length: 9\n\n{}", "{}", "has 2 bytes, but Content-Length says 9"},
		"a body too long":       {"POST / HTTP/1.1\nContent-Length: 2\n\n{ }", "{ }", "bytes were added"},
		"two lengths":           {"POST / HTTP/1.1\nContent-Length: 2\nContent-Length: 9\n\n{ }", "{ }", ""},
		"a length that is none": {"POST / HTTP/1.1\nContent-Length: -2\n\n{ }", "{ }", ""},
		"lost bytes":            {`{"headers":{},"body":"a\ufffdb"}`, "a\uFFFDb", "has lost them"},
		"a lone surrogate":      {`{"headers":{},"body":"a\ud800b"}`, "a\uFFFDb", "U+FFFD"},
		"a misspelt member":     {`{"headers":{},"boddy":"x"}`, "", "were not read: boddy"},
		"quotes in PowerShell":  {`curl.exe http://x/ -d '{"a":1}'`, `{"a":1}`, "drops them"},
		"a form written anew":   {`{"method":"POST","url":"/","headers":[],"postData":{"params":[{"name":"a","value":"b"}]}}`, "a=b", "written anew"},
		"UTF-16":                {inUTF16("POST / HTTP/1.1\n\nx"), "x", "was UTF-16"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Read([]byte(c.text), Auto, Choice{})
			if err != nil {
				t.Fatal(err)
			}
			en, zh := "", ""
			for _, n := range r.Notes {
				en, zh = en+n.En, zh+n.Zh
			}
			if string(r.Body) != c.body || c.note == "" && en != "" || c.note != "" && !strings.Contains(en, c.note) {
				t.Errorf("body %q, notes %q", r.Body, en)
			}
			if (en == "") != (zh == "") || strings.Contains(en+zh, "%!") {
				t.Errorf("notes %q %q", en, zh)
			}
		})
	}
}

// TestHostileCapturesEnd would take hours if the time of a reader grew with the square of what it reads.
func TestHostileCapturesEnd(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	fill := func(piece string) string { return strings.Repeat(piece, size/len(piece)) }
	for name, text := range map[string]string{
		"line ends":            "curl x" + fill("\n") + "-v",
		"line ends, prompt":    "curl ^\"x^\"" + fill("\n") + "-v",
		"line ends, curl.exe":  "curl.exe 'x'" + fill("\n") + "-v",
		"folded lines":         "POST / HTTP/1.1\nA: b\n" + fill("\ta\n") + "\n",
		"headers":              "POST / HTTP/1.1\n" + fill("A: b\n") + "\n",
		"queries":              "curl x" + fill(" --url-query a"),
		"data":                 "curl x" + fill(" -da"),
		"header options":       "curl x" + fill(" -Ha:b"),
		"letters":              "curl x -" + fill("s"),
		"backslashes":          "curl x " + fill("\\ "),
		"backquotes":           "curl.exe 'x' " + fill("` "),
		"dollar quotes":        "curl x " + fill("$''"),
		"escapes":              "curl x -d $'" + fill("\\ud83d") + "'",
		"texts of lines":       "iwr x" + fill(" -Body @'\n'@"),
		"quoted quotes":        "curl.exe 'x'" + fill(" -d'a\"b'"),
		"tables":               "iwr x -Headers @{" + fill("a=b;") + "}",
		"separators":           "iwr x -Headers @{" + fill(";") + "}",
		"chunks":               "POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n" + fill("1\r\na\r\n"),
		"a list":               "[" + fill("{},") + "{}]",
		"a nest":               fill("["),
		"members":              `{"headers":{},` + fill(`"a":1,`) + `"b":1}`,
		"entries":              `{"log":{"entries":[` + fill("{},") + "{}]}}",
		"blanks":               fill(" "),
		"empty lines":          fill("\r\n") + "x",
		"lines without a head": fill("a\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Read([]byte(text), Auto, Choice{})
			if err == nil && r.Method == "" {
				t.Error("read nothing, and said nothing")
			}
		})
	}
}

// FuzzRead holds for every reader: it ends, never panics, and what it calls a request has a method and headers that could
// have been sent.
func FuzzRead(f *testing.F) {
	for _, text := range []string{
		"POST /in/x?a=b HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}\n",
		"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n3\r\n{\"a\r\n0\r\n\r\n",
		`curl 'http://x/?a' -H 'A: b' -d $'\u540d\x41\0' --data-urlencode "a=b"`,
		"curl ^\"http://x/^\" ^\n -H ^\"A: b^\" -d ^\"^{^\\^\"a^\\^\":1^}^\"",
		"curl.exe 'http://x/' `\n -d '{\\\"a\\\":1}'",
		"Invoke-WebRequest -Uri \"http://x/\" -Headers @{\n\"a\"=\"b\"\n} -Body ([System.Text.Encoding]::UTF8.GetBytes(\"$([char]0x540d)\"))",
		"irm http://x/ -Body @'\nx\n'@",
		`{"log":{"entries":[{"request":{"method":"POST","url":"/","headers":[{"name":"a","value":"b"}],"postData":{"text":"x","params":[{"name":"a"}]}}}]}}`,
		`[{"method":"POST","url":"/?q","headers":{"a":["b"]},"bodyBase64":"eA=="},{"headers":["a: b"],"body":"x"}]`,
		inUTF16("POST / HTTP/1.1\n\n"),
	} {
		for i := range Formats {
			f.Add([]byte(text), uint8(i), 0, "")
		}
		f.Add([]byte(text), uint8(0), 1, "/")
	}
	f.Fuzz(func(t *testing.T, text []byte, format uint8, index int, url string) {
		r, err := Read(text, Formats[int(format)%len(Formats)], Choice{Index: index, URL: url})
		if err != nil {
			if err.Error() == "" || len(err.Error()) > 5000 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
			return
		}
		if !isToken(r.Method) || strings.ContainsAny(r.Method, "\r\n ") || r.Header == nil {
			t.Errorf("%q %v", r.Method, r.Header)
		}
		for name, values := range r.Header {
			if !isToken(name) || strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") {
				t.Errorf("header %q: %q", name, values)
			}
		}
		if len(r.Body) > 8*len(text)+16 {
			t.Errorf("a body of %d bytes from %d", len(r.Body), len(text))
		}
	})
}
