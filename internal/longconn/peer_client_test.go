package longconn_test

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// javaClient behaves as the message client of Alipay's Java SDK.
type javaClient struct {
	addr     string // of the server, host:port
	appID    string
	key      *rsa.PrivateKey // the application's
	platform *rsa.PublicKey

	// Certificate mode: all three are set.
	appCertSN, rootCertSN, platformCertSN string

	// handle is the program's handler: an error is acknowledged FAIL.
	handle func(msgAPI, msgID, content string) error

	skew time.Duration // of its clock
}

// certificateParams are the names that are added in certificate mode.
func (c *javaClient) certificateParams(to map[string]string) map[string]string {
	if c.appCertSN != "" {
		to["app_cert_sn"], to["alipay_root_cert_sn"] = c.appCertSN, c.rootCertSN
	}
	return to
}

func (c *javaClient) millis() string {
	return strconv.FormatInt(time.Now().Add(c.skew).UnixMilli(), 10)
}

// query signs parameters with the application's key. A Java HashMap has no order worth keeping, nor has a Go map.
func (c *javaClient) query(params map[string]string) string {
	params["sign"] = signRSA2(c.key, canonicalV2(params))
	var pairs []string
	for name, value := range params {
		pairs = append(pairs, urlEncode(name)+"="+urlEncode(value))
	}
	return strings.Join(pairs, "&")
}

func (c *javaClient) registerQuery() string {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:])
	return c.query(c.certificateParams(map[string]string{
		"timestamp": c.millis(), "sign_type": "RSA2", "app_id": c.appID, "charset": "UTF-8",
		"sdk_version": "alipay-sdk-java-4.39.218.ALL", "nonce": hex.EncodeToString(nonce[:]),
	}))
}

func (c *javaClient) upgradeQuery(token string) string {
	return c.query(c.certificateParams(map[string]string{
		"app_id": c.appID, "charset": "UTF-8", "link_token": token, "timestamp": c.millis(), "sign_type": "RSA2",
		"sdk_version": "alipay-sdk-java-4.39.218.ALL",
	}))
}

// getByHand writes a GET by hand and reads the head of the answer.
func getByHand(conn net.Conn, host, target string, header ...string) (*http.Response, *bufio.Reader, error) {
	text := "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n"
	for i := 0; i+1 < len(header); i += 2 {
		text += header[i] + ": " + header[i+1] + "\r\n"
	}
	if _, err := conn.Write([]byte(text + "\r\n")); err != nil {
		return nil, nil, err
	}
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	return answer, in, err
}

const javaForm = "application/x-www-form-urlencoded;charset=UTF-8"

// register asks for a link token.
func (c *javaClient) register() (token, zone string, err error) {
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	answer, _, err := getByHand(conn, c.addr, "/websocket/register.do?"+c.registerQuery(),
		"Accept", "text/plain,text/xml,text/javascript,text/html", "User-Agent", "aop-sdk-java", "Content-Type", javaForm, "Connection", "close")
	if err != nil {
		return "", "", err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != 200 {
		return "", "", fmt.Errorf("the status is %d, and the body is lost", answer.StatusCode)
	}
	body := make([]byte, 0, 4096)
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := answer.Body.Read(body[len(body):cap(body)])
		if body = body[:len(body)+n]; err != nil {
			break
		}
	}
	for _, name := range []string{"set-cookie", "Set-Cookie", "Set-cookie"} {
		for _, line := range answer.Header[name] {
			if z, ok := textBetween(line+";", "zone=", ";"); ok {
				zone = z
			}
		}
	}
	token, err = c.readAnswer(string(body))
	return token, zone, err
}

// readAnswer scans the body by positions, as the SDK does.
func (c *javaClient) readAnswer(body string) (token string, err error) {
	s := strings.TrimSpace(body)
	if !strings.HasPrefix(s, "{") {
		return "", errors.New("the body does not begin with a brace")
	}
	start := strings.Index(s, `"response"`)
	if start < 0 {
		return "", errors.New("there is no response")
	}
	start += strings.IndexByte(s[start:], ':')
	start += strings.IndexByte(s[start:], '{')
	signed, sign := s[start:], ""
	if at := strings.LastIndex(s, `"sign"`); at >= 0 {
		value := at + len(`"sign"`) + strings.IndexByte(s[at+len(`"sign"`):], '"') + 1
		sign = s[value : value+strings.IndexByte(s[value:], '"')]
		signed = s[start : strings.LastIndexByte(s[:value], '}')+1]
		if err := verifyRSA2(c.platform, signed, sign); err != nil {
			return "", fmt.Errorf("check sign fail: %w", err)
		}
	}
	flat := strings.NewReplacer(" ", "", "\t", "", "\n", "").Replace(signed)
	switch code, _ := textBetween(flat, `"code":"`, `"`); {
	case code != "10000" && code != "100000000":
		return "", errors.New("register response code means fail: " + s)
	case sign == "":
		return "", errors.New("the response is not signed")
	}
	if at := strings.Index(s, `"alipay_cert_sn"`); at >= 0 {
		if c.platformCertSN == "" {
			return "", errors.New("null: alipay_cert_sn in key mode")
		}
		if got := s[at+len(`"alipay_cert_sn"`)+2 : strings.LastIndexByte(s, '}')-1]; got != c.platformCertSN {
			return "", errors.New("alipay_cert_sn is " + got)
		}
	}
	token, ok := textBetween(flat, `"link_token":"`, `"`)
	if !ok {
		return "", errors.New("there is no link_token")
	}
	return token, nil
}

// upgrade opens the WebSocket.
func (c *javaClient) upgrade(token, zone string) (*javaLink, error) {
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	var nonce [16]byte
	_, _ = rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	header := []string{
		"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Key", key, "Sec-WebSocket-Version", "13", "Content-Type", javaForm,
	}
	if zone != "" {
		header = append(header, "cookie", "zone="+zone+";")
	}
	answer, in, err := getByHand(conn, c.addr, "/websocket?"+c.upgradeQuery(token), header...)
	switch {
	case err != nil:
	case answer.StatusCode != 101:
		err = fmt.Errorf("the status is %d", answer.StatusCode)
	case answer.Header.Get("Sec-Websocket-Accept") != acceptOf(key):
		err = errors.New("Sec-WebSocket-Accept is wrong")
	case answer.Header.Get("Sec-Websocket-Protocol") != "" || answer.Header.Get("Sec-Websocket-Extensions") != "":
		err = errors.New("a protocol or an extension was chosen that was not offered")
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return &javaLink{javaClient: c, wire: &wire{conn: conn, in: in, client: true}}, nil
}

// connect registers and upgrades, as the client does before each connection.
func (c *javaClient) connect() (*javaLink, error) {
	token, zone, err := c.register()
	if err != nil {
		return nil, err
	}
	return c.upgrade(token, zone)
}

// javaLink is one connection of it.
type javaLink struct {
	*javaClient
	*wire
	pongs, dropped, badSigns atomic.Int64
}

// javaFrame is what the client reads of a frame.
type javaFrame struct {
	headers  map[string]string
	protocol map[string]string
	data     string
}

var dataStart = regexp.MustCompile(`"data" *: *\{`)

// parseJava reads a frame; an error means that the client drops it without a word.
func parseJava(text string) (f javaFrame, err error) {
	head, doc, ok := strings.Cut(text, "\r\n\r\n")
	if !ok {
		return f, errors.New("there is no CR LF CR LF")
	}
	f.headers, f.protocol = map[string]string{}, map[string]string{}
	for line := range strings.SplitSeq(head, "\r\n") {
		if line == "" {
			continue
		}
		pieces := strings.Split(strings.TrimRight(line, ":"), ":")
		if len(pieces) < 2 {
			return f, errors.New("ArrayIndexOutOfBoundsException")
		}
		f.headers[pieces[0]] = pieces[1]
	}
	var all struct {
		Protocol map[string]any `json:"protocol"`
		Data     struct {
			Header  map[string]any  `json:"header"`
			Content json.RawMessage `json:"content"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(doc), &all); err != nil {
		return f, err
	}
	for name, value := range all.Protocol {
		text, is := value.(string)
		if !is {
			return f, errors.New("ClassCastException: " + name)
		}
		f.protocol[name] = text
	}
	if f.protocol["x-type"] == "" {
		return f, errors.New("there is no x-type")
	}
	at := dataStart.FindStringIndex(doc)
	if at == nil {
		return f, nil
	}
	if !strings.HasPrefix(strings.TrimSpace(string(all.Data.Content)), "{") {
		return f, errors.New("ClassCastException: content")
	}
	f.data, err = bracedText(doc[at[1]-1:])
	return f, err
}

// bracedText returns the object that text begins with.
func bracedText(text string) (string, error) {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case quoted:
		case text[i] == '{':
			depth++
		case text[i] == '}':
			if depth--; depth == 0 {
				return text[:i+1], nil
			}
		}
	}
	return "", errors.New("the object does not end")
}

// javaHeaders writes what is set, in the client's order; a frame without any begins with an empty line.
func javaHeaders(h map[string]string) string {
	out := ""
	for _, name := range []string{"from-sys", "from-sys-ip", "stream-id"} {
		if h[name] != "" {
			out += name + ":" + h[name] + "\r\n"
		}
	}
	if out == "" {
		out = "\r\n"
	}
	return out + "\r\n"
}

// ack is the frame that answers a CONSUME.
func (f javaFrame) ack(status string) string {
	return javaHeaders(f.headers) + `{"protocol":{"x-type":"message","x-cmd":"CONSUME_ACK","x-msgId":"` + f.protocol["x-msgId"] +
		`","x-version":"1.0","x-status":"` + status + `"}}`
}

// consume verifies and handles one CONSUME, and returns the status that the client acknowledges. A bad signature is only
// counted, as the Java client only logs it.
func (l *javaLink) consume(f javaFrame) string {
	if verifyRSA2(l.platform, f.data, f.protocol["x-sign"]) != nil || f.protocol["x-signType"] != "RSA2" || f.protocol["x-charset"] != "UTF-8" {
		l.badSigns.Add(1)
	}
	var data struct {
		Header struct {
			AppID  string `json:"appId"`
			MsgAPI string `json:"msgApi"`
		} `json:"header"`
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal([]byte(f.data), &data); err != nil || data.Header.AppID != l.appID {
		return "FAIL"
	}
	if l.handle != nil && l.handle(data.Header.MsgAPI, f.protocol["x-msgId"], string(data.Content)) != nil {
		return "FAIL"
	}
	return "SUCCESS"
}

// next reads until a text frame that the client can read.
func (l *javaLink) next() (javaFrame, error) {
	for {
		op, text, err := l.message()
		switch {
		case err != nil:
			return javaFrame{}, err
		case op == opPong:
			l.pongs.Add(1)
			continue
		case op != opText:
			continue
		}
		f, err := parseJava(string(text))
		if err != nil {
			l.dropped.Add(1)
			continue
		}
		return f, nil
	}
}

// run acknowledges what comes and pings, until the connection ends.
func (l *javaLink) run(ping time.Duration) error {
	done := make(chan struct{})
	defer close(done)
	go func() {
		tick := time.NewTicker(ping)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_ = l.write(opPing, nil)
			}
		}
	}()
	for {
		f, err := l.next()
		if err != nil {
			return err
		}
		if f.protocol["x-cmd"] == "CONSUME" {
			if err := l.text(f.ack(l.consume(f))); err != nil {
				return err
			}
		}
	}
}

// produce is the frame of a message that the application sends.
func (c *javaClient) produce(streamID, msgAPI, content string) string {
	serials := ""
	if c.appCertSN != "" {
		serials = `,"app_cert_sn":"` + c.appCertSN + `","alipay_root_cert_sn":"` + c.rootCertSN + `"`
	}
	data := `{"header":{"appId":"` + c.appID + `","msgApi":"` + msgAPI + `"` + serials + `},"content":` + content + `}`
	return "stream-id:" + streamID + "\r\n\r\n" + `{"protocol":{"x-type":"message","x-cmd":"PRODUCE","x-timestamp":"` + c.millis() +
		`","x-version":"1.0","x-charset":"UTF-8","x-signType":"RSA2","x-sign":"` + signRSA2(c.key, data) + `"},"data":` + data + `}`
}
