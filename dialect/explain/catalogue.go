package explain

// entry is what the catalogue says of a cause.
type entry struct{ text, fix Text }

func finding(code string, sure Sure, where string) Finding {
	e := catalogue[code]
	return Finding{Code: code, Sure: sure, Where: where, Text: e.text, Fix: e.fix}
}

// The advice that several causes share.
var (
	keepRaw = Text{
		"Verify the bytes of the body exactly as they arrived, before any framework, filter or proxy parses or rewrites them.",
		"对收到的原始字节验签：在框架、过滤器或代理解析、改写消息体之前进行。",
	}
	fixForm = Text{
		"Split the raw form at & and = first, then percent-decode each name and value exactly once, and verify those.",
		"先按 & 和 = 切分原始表单，再对每个名和值各解码一次，用解码结果验签。",
	}
	pasteKey = Text{
		"Paste the secret or key again from the platform's console, as one text and without anything around it.",
		"从平台控制台重新复制并粘贴密钥，前后不要带任何其他字符。",
	}
	fixSender = Text{
		"The request was not signed as the platform signs. Check the tool or program that sent it; if the platform itself did, check which protocol and version the address is registered for.",
		"该请求的签名方式与平台不同。请检查发送它的工具或程序；若确为平台发送，请检查该地址登记的协议和版本。",
	}
	fixHeader = Text{
		"Look at what stands between the platform and the receiver, and at how the capture was made: headers must be passed on unchanged.",
		"检查平台与接收方之间的环节以及抓取请求的方式：请求头必须原样传递。",
	}
	fixPath = Text{
		"Look at what stands between the platform and the receiver, and at how the capture was made: bodies must be passed on byte for byte.",
		"检查平台与接收方之间的环节以及抓取请求的方式：消息体必须逐字节传递。",
	}
)

// catalogue has every cause in both languages.
var catalogue = map[string]entry{
	// The text of the body, or of a part of it.
	"line_end_added":     {Text{"A line end was added behind the text.", "文本末尾多了一个换行。"}, keepRaw},
	"line_end_lost":      {Text{"The line end behind the text was removed.", "文本末尾的换行被去掉了。"}, keepRaw},
	"blanks_added":       {Text{"There are blanks or line ends around the text that were not signed.", "文本前后多了未参与签名的空白或换行。"}, keepRaw},
	"line_ends_changed":  {Text{"The line ends within the text were changed, LF to CRLF or the reverse.", "文本中的换行符被改写（LF 与 CRLF 互换）。"}, keepRaw},
	"bom_added":          {Text{"A byte order mark was put before the text.", "文本前多了 BOM。"}, keepRaw},
	"bom_lost":           {Text{"The byte order mark before the text was removed.", "文本前的 BOM 被去掉了。"}, keepRaw},
	"nul_added":          {Text{"There are NUL bytes behind the text, as from a buffer of fixed length.", "文本末尾有 NUL 字节，像是来自定长缓冲区。"}, keepRaw},
	"charset_transcoded": {Text{"The text was converted from one charset to another (GBK and UTF-8).", "文本的字符集被转换过（GBK 与 UTF-8 之间）。"}, keepRaw},
	"charset_mistaken":   {Text{"UTF-8 was read as another charset (Latin-1 or GBK) and written again.", "UTF-8 被按其他字符集（Latin-1 或 GBK）读取后又写出，成为乱码。"}, keepRaw},
	"charset_utf16":      {Text{"The text was converted to UTF-16.", "文本被转换成了 UTF-16。"}, keepRaw},
	"charset_lost":       {Text{"The request holds replacement characters (U+FFFD): text was decoded with the wrong charset, and its bytes are lost.", "请求中含替换字符（U+FFFD）：文本曾按错误的字符集解码，原字节已丢失。"}, keepRaw},
	"charset_question":   {Text{"The request holds rows of question marks: characters may have been lost in a change of charset.", "请求中有连续的问号：可能在转换字符集时丢失了字符。"}, keepRaw},
	"html_escaped":       {Text{"Quotes or other characters were turned into HTML entities.", "引号等字符被转成了 HTML 实体。"}, keepRaw},
	"html_unescaped":     {Text{"HTML entities in the text were decoded.", "文本中的 HTML 实体被解码了。"}, keepRaw},
	"slashes_added":      {Text{"Backslashes were added before quotes.", "引号前被加上了反斜杠。"}, keepRaw},
	"json_twice":         {Text{"The text was made a JSON string once more, or once less.", "文本被多做或少做了一次 JSON 字符串编码。"}, keepRaw},
	"json_unpacked":      {Text{"A member that the platform sends as a string holds an object: the string was parsed.", "平台以字符串发送的成员变成了对象：字符串被解析过。"}, keepRaw},
	"json_list":          {Text{"The values were put into lists.", "参数值被放进了数组。"}, keepRaw},
	"json_spacing":       {Text{"The JSON was read and written again: blanks and line ends between its parts changed.", "JSON 被解析后重新生成：各部分之间的空格或换行变了。"}, keepRaw},
	"json_escapes":       {Text{"The JSON was read and written again: characters are escaped differently (\\uXXXX, <, >, &).", "JSON 被解析后重新生成：字符的转义写法变了（\\uXXXX、<、>、&）。"}, keepRaw},
	"json_slashes":       {Text{"The JSON was read and written again: slashes are escaped differently (/ and \\/).", "JSON 被解析后重新生成：斜杠的转义写法变了（/ 与 \\/）。"}, keepRaw},
	"json_order":         {Text{"The JSON was read and written again: its members are in another order.", "JSON 被解析后重新生成：成员顺序变了。"}, keepRaw},
	"json_sorted":        {Text{"All members of the JSON are in alphabetical order, as libraries write that read it into a map. The order that was signed cannot be told from it.", "JSON 的成员全部按字母排序，像是被读入 map 后重新生成；无法由此还原签名时的顺序。"}, keepRaw},
	"json_numbers":       {Text{"The JSON was read and written again: numbers are spelled differently (1 and 1.0, 1e9 and 1000000000).", "JSON 被解析后重新生成：数字写法变了（1 与 1.0，1e9 与 1000000000）。"}, keepRaw},
	"json_precision":     {Text{"The JSON holds numbers as a floating-point type writes them: digits of long numbers may be lost.", "JSON 中有浮点写法的数字：长整数可能丢失了精度。"}, keepRaw},
	"url_encoded":        {Text{"The text is percent-encoded once more than what was signed.", "文本比签名内容多做了一次 URL 编码。"}, fixForm},
	"url_decoded":        {Text{"The text was percent-decoded once too often.", "文本被多做了一次 URL 解码。"}, fixForm},
	"plus_lost":          {Text{"A plus sign became a blank, as a form decoder reads it.", "加号被当作表单编码变成了空格。"}, Text{"Percent-encode + as %2B wherever the request is written, and decode it exactly once.", "写出请求时将 + 编码为 %2B，并只解码一次。"}},
	"form_wrapped":       {Text{"The text was wrapped: sent as a form parameter, or in a function call.", "文本被包了一层：作为表单参数或函数调用发送。"}, keepRaw},
	"base64_body":        {Text{"The body is base64 of what was signed, as some gateways hand it over.", "消息体是签名内容的 base64，某些网关会这样传递。"}, Text{"Decode the body once before it is verified; with AWS API Gateway look at isBase64Encoded.", "验签前先解码一次；使用 AWS API Gateway 时请看 isBase64Encoded。"}},
	"body_twice":         {Text{"The body is there twice.", "消息体重复了两遍。"}, fixPath},
	"body_appended":      {Text{"Something was put behind the body.", "消息体后面多了内容。"}, fixPath},
	"body_truncated":     {Text{"The end of the body is missing.", "消息体的末尾缺失。"}, fixPath},
	"body_empty":         {Text{"The body is empty: it was probably read before, and a second reading got nothing.", "消息体为空：很可能已被读取过一次，再次读取得不到内容。"}, Text{"Read the body once, keep the bytes, and hand the same bytes to the verification and to the parser.", "只读取一次消息体并保存字节，验签和解析都使用这份字节。"}},
	"body_large":         {Text{"The body is too long to be searched.", "消息体过长，未做查找。"}, Text{"Explain a shorter message of the same source.", "请用同一来源的较短消息来分析。"}},
	"compressed":         {Text{"The body is still compressed (gzip).", "消息体仍是压缩状态（gzip）。"}, fixPath},
	"chunked":            {Text{"The framing of the chunked transfer was kept in the body.", "消息体中残留了分块传输的格式。"}, fixPath},
	"multipart":          {Text{"The body is a multipart form around what was signed.", "签名内容外面包了一层 multipart 表单。"}, fixPath},

	// Forms.
	"form_decoded":      {Text{"The whole form was decoded before it was split into parameters.", "整个表单在切分参数之前就被解码了。"}, fixForm},
	"form_as_json":      {Text{"The parameters of the form were kept as JSON.", "表单参数被转存成了 JSON。"}, fixForm},
	"form_joint":        {Text{"The parameters are separated by something other than &.", "参数之间的分隔符不是 &。"}, fixForm},
	"param_added":       {Text{"A parameter is there that was not signed: a framework, a proxy or the address itself added it.", "多了未参与签名的参数：由框架、代理或回调地址本身加入。"}, Text{"Verify only the parameters that the platform sent, and register an address without parameters.", "只用平台发送的参数验签，回调地址不要带参数。"}},
	"param_empty":       {Text{"A parameter with an empty value was dropped; it is signed too.", "空值参数被丢弃，但它也参与签名。"}, Text{"Keep every parameter that arrives, empty ones too.", "保留收到的所有参数，包括空值。"}},
	"param_empty_added": {Text{"A parameter with an empty value is there that was not signed.", "多了一个空值参数，它没有参与签名。"}, Text{"Find out who adds it. A sender must not send empty parameters that it leaves out of the signed text.", "找出是谁加入的。发送方不要发送未参与签名的空值参数。"}},
	"param_lost":        {Text{"A parameter was dropped that is signed too.", "有参与签名的参数被丢弃。"}, Text{"Keep every parameter that arrives, also those that are not known yet.", "保留收到的所有参数，包括尚不认识的。"}},
	"param_twice":       {Text{"A parameter is there more than once.", "有参数重复出现。"}, Text{"Find out who adds it, and leave each parameter once.", "找出是谁重复加入的，每个参数只保留一次。"}},
	"param_name":        {Text{"The names of parameters were changed (capitals, underscores).", "参数名被改写（大小写、下划线）。"}, fixForm},
	"query_moved":       {Text{"Parameters stand in the URL that were signed in the body.", "参与签名的参数出现在 URL 中，而不是消息体中。"}, fixForm},

	// The signature.
	"signature_blanks":    {Text{"There are blanks or line ends in or around the signature.", "签名中或前后有空白或换行。"}, fixHeader},
	"signature_quotes":    {Text{"There are quotes around the signature.", "签名两端有引号。"}, fixHeader},
	"signature_case":      {Text{"The letters of the signature are in the wrong case.", "签名字母的大小写不对。"}, fixSender},
	"signature_padding":   {Text{"The padding of the signature (=) is missing.", "签名末尾的 = 丢失。"}, fixHeader},
	"signature_escaped":   {Text{"The signature is percent-encoded.", "签名被 URL 编码了。"}, fixHeader},
	"signature_prefix":    {Text{"Something stands before the signature that does not belong to it, or what belongs there is missing.", "签名前多了不属于它的前缀，或缺少应有的前缀。"}, fixSender},
	"signature_encoding":  {Text{"The signature is right but written in another encoding (hex, base64, base64url).", "签名本身正确，但编码不对（十六进制、base64、base64url）。"}, fixSender},
	"signature_twice":     {Text{"The signature was encoded twice, such as base64 of its hex.", "签名被编码了两次，例如十六进制文本再做 base64。"}, fixSender},
	"signature_truncated": {Text{"The signature was cut short.", "签名被截断。"}, fixHeader},
	"signature_name":      {Text{"The signature is in another place than the platform's.", "签名放在了别的请求头或参数里。"}, fixHeader},
	"signature_missing":   {Text{"The request has no signature.", "请求没有签名。"}, fixHeader},
	"algorithm_other":     {Text{"The signature was made by another algorithm than the platform's.", "签名算法与平台不同。"}, fixSender},

	// The signed text.
	"text_body":    {Text{"The body as a whole was signed, instead of the text that the platform signs.", "对整个消息体签名，而不是平台规定的签名内容。"}, fixSender},
	"text_member":  {Text{"Only a part of the body was signed.", "只对消息体的一部分签名。"}, fixSender},
	"text_quoted":  {Text{"The text was signed as it stands in the JSON, before decoding.", "对 JSON 中未解码的原文签名。"}, fixSender},
	"text_more":    {Text{"A time or an id was signed along that the platform does not sign.", "签名内容多了平台不签的时间或编号。"}, fixSender},
	"text_less":    {Text{"A part of what the platform signs was left out.", "签名内容缺少平台规定的部分。"}, fixSender},
	"text_order":   {Text{"The parts of the signed text are in another order.", "签名内容各部分的顺序不对。"}, fixSender},
	"text_joint":   {Text{"The parts of the signed text are joined by other characters.", "签名内容各部分的连接符不对。"}, fixSender},
	"text_escaped": {Text{"The values were signed percent-encoded.", "对 URL 编码后的值签名。"}, fixSender},
	"text_charset": {Text{"The text was signed in another charset than the one it is sent in: in GBK, or with question marks in the place of letters.", "签名时的字符集与发送时不同：按 GBK 签名，或非 ASCII 字符变成了问号。"},
		Text{"Sign the bytes that are sent: name the charset wherever text becomes bytes, in Java getBytes(StandardCharsets.UTF_8).", "对实际发送的字节签名：凡是把文本转成字节都要指明字符集，Java 中写 getBytes(StandardCharsets.UTF_8)。"}},
	"text_no_line_ends": {Text{"The body was signed without its line ends.", "签名时去掉了消息体中的换行。"}, Text{"Send bodies without line ends. A receiver can allow such a signature only by a setting of the dialect.", "请发送不带换行的消息体；接收方只能通过方言设置允许这种签名。"}},

	// Secrets, keys and other settings.
	"secret_blanks":    {Text{"The configured secret has blanks or a line end around it.", "配置的密钥前后有空白或换行。"}, pasteKey},
	"secret_invisible": {Text{"The configured secret holds something invisible, such as a byte order mark or a zero-width character.", "配置的密钥含不可见字符，如 BOM 或零宽字符。"}, pasteKey},
	"secret_quotes":    {Text{"The configured secret has quotes around it.", "配置的密钥两端带引号。"}, pasteKey},
	"secret_escape":    {Text{"The configured secret is escaped (\\n or percent-encoded).", "配置的密钥被转义（\\n 或 URL 编码）。"}, pasteKey},
	"secret_line_end":  {Text{"The sender signs with a line end behind the secret.", "发送方的密钥末尾带换行。"}, Text{"Remove the line end from the sender's secret.", "去掉发送方密钥末尾的换行。"}},
	"secret_named":     {Text{"The name of a variable was pasted along with the secret.", "粘贴密钥时带上了变量名。"}, pasteKey},
	"secret_several":   {Text{"Several secrets stand in one value.", "一个值里写了多个密钥。"}, Text{"Enter each secret as a value of its own.", "每个密钥单独填写为一个值。"}},
	"secret_prefix":    {Text{"The prefix of the configured secret is missing, or does not belong there.", "配置的密钥缺少前缀，或多了前缀。"}, pasteKey},
	"secret_encoded":   {Text{"The configured secret is hex or base64 of the real one.", "配置的是真实密钥的十六进制或 base64。"}, Text{"Enter the secret as the platform shows it, without encoding it.", "按平台显示的原文填写，不要再编码。"}},
	"secret_decoded":   {Text{"The configured secret was decoded from hex or base64, and the text itself is the secret.", "配置的密钥被解码过，平台使用的是未解码的文本。"}, Text{"Enter the secret as the platform shows it, without decoding it.", "按平台显示的原文填写，不要解码。"}},
	"secret_raw":       {Text{"The sender reads the secret otherwise: its text instead of the bytes it stands for, or the reverse.", "发送方对密钥的用法不同：用了文本而不是解码后的字节，或相反。"}, fixSender},
	"secret_empty":     {Text{"The sender signs with an empty secret.", "发送方使用了空密钥。"}, Text{"Configure the secret at the sender.", "请在发送方配置密钥。"}},
	"secret_case":      {Text{"The letters of the configured secret are in the wrong case.", "配置的密钥大小写不对。"}, pasteKey},
	"secret_field":     {Text{"The right secret or key stands in another setting.", "正确的密钥填在了别的设置项里。"}, Text{"Put it into the setting that is named here.", "请填到这里指出的设置项。"}},
	"secret_other":     {Text{"The request is signed for another source: another application, or sandbox instead of production.", "该请求属于另一个来源：其他应用，或沙箱与正式环境混用。"}, Text{"Register the right address with the platform, or use that source's secret or key.", "在平台登记正确的地址，或改用那个来源的密钥。"}},
	"setting_choice":   {Text{"Settings do not say how this platform really signs.", "设置与平台实际的签名方式不符。"}, Text{"Change the settings that are named here; a probe with a real request prints the right values.", "修改这里指出的设置；用真实请求探测可得到正确的取值。"}},
	"setting_problem":  {Text{"A setting is missing or cannot be used.", "有设置缺失或无法使用。"}, Text{"Correct the setting that is named here.", "请修正这里指出的设置。"}},
	"setting_answer": {Text{"The signature is right, but a setting that the answer needs is missing or cannot be used.", "签名正确，但应答所需的设置缺失或无法使用。"},
		Text{"Correct the setting that is named here; until then the platform is not answered.", "修正这里指出的设置；在此之前平台得不到应答。"}},
	"account_other": {Text{"The signature is right, but the request is for another account than the settings name.", "签名正确，但请求属于设置以外的账号。"}, Text{"Correct the setting that is named here, or give that account a source of its own.", "修正这里指出的设置，或为该账号单独建立来源。"}},
	"method":        {Text{"The method is not POST: a redirect or a proxy changed it.", "请求方法不是 POST：被重定向或代理改变了。"}, Text{"Register the final address with the platform, without a redirect.", "在平台登记最终地址，不要经过重定向。"}},

	// Alipay.
	"alipay_rule":    {Text{"sign_type is signed where it is not expected, or the reverse (rules V1 and V2).", "sign_type 是否参与签名与预期相反（V1 与 V2 规则）。"}, Text{"Use the rule that this kind of message has: V1 for messages, V2 for the gateway check; or set rule_overrides.", "消息使用 V1，网关验证使用 V2；也可设置 rule_overrides。"}},
	"alipay_cert_sn": {Text{"alipay_cert_sn is not part of what is signed.", "alipay_cert_sn 没有参与签名。"}, Text{"Set alipay_cert_sn to unsigned.", "将 alipay_cert_sn 设为 unsigned。"}},
	"charset_name":   {Text{"The parameter charset was changed on the way.", "参数 charset 在途中被改写。"}, fixForm},

	// Time.
	"time_far":  {Text{"The signature is right, but its time is too far from the receiver's clock.", "签名正确，但签名时间与接收方时钟相差过大。"}, Text{"Set the receiver's clock by NTP. An old capture is refused for its age alone: judge it by the time when it came.", "用 NTP 校准接收方时钟。旧请求会因时间过久被拒绝：请按当时的时间判断。"}},
	"time_zone": {Text{"The two clocks differ by a time zone.", "两边的时钟相差一个时区。"}, Text{"Time stamps count from 1970 in UTC: convert local times first.", "时间戳按 UTC 自 1970 年起算：请先换算本地时间。"}},
	"time_unit": {Text{"The time stamp is in the wrong unit: seconds and milliseconds.", "时间戳单位不对：秒与毫秒。"}, fixHeader},
}

// Codes returns every cause with its words, by its code.
func Codes() map[string]Finding {
	out := make(map[string]Finding, len(catalogue))
	for code := range catalogue {
		out[code] = finding(code, "", "")
	}
	return out
}
