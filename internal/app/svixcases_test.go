package app

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// svixCases are what Svix's own black-box tests hold of its server, told by us, and the tests that hold it here. A test is named by its
// folder below the root, as internal/app.TestX, a part of it as internal/app.TestX/the part. Tests of internal/app speak to a running
// server over the network, those of internal/api to the whole API over a real store; rules of time are tested in the engine, whose
// clock can be moved.
var svixCases = []struct {
	what  string
	tests []string
}{
	{"of three endpoints one fails: all get the same body, the failed one alone is tried again", []string{"internal/app.TestOneOfThreeReceiversFails"}},
	{"a 500 is recorded as an attempt of that code", []string{"internal/app.TestAttemptsByWhatTheReceiverAnswers/fails"}},
	{"after a 500 the same body arrives again, and a 200 is recorded", []string{"internal/app.TestAttemptsByWhatTheReceiverAnswers/fails and recovers", "internal/app.TestOneOfThreeReceiversFails"}},
	{"the same event id twice is 409", []string{"internal/api.TestARepeatedEventIDIsAConflict", "clients/go.TestMessages"}},
	{"a body of 8 MB is 413", []string{"internal/app.TestALargeBodyIsRefusedInTime", "internal/api.TestBodiesOverTheLimitAreRefused"}},
	{"a body that was laid out beforehand arrives byte for byte", []string{"internal/app.TestWhatIsPostedIsWhatIsSignedAndSent", "internal/app.TestOneOfThreeReceiversFails", "clients/go.TestMessages"}},
	{"expunged content reads {\"expired\":true}, the rest stays", []string{"internal/app.TestExpungedContentIsGone", "internal/api.TestContentIsExpunged"}},
	{"a payload is gone when its retention has passed", []string{"internal/api.TestAPayloadIsKeptAsLongAsItsMessageSays"}},
	{"a message may bring its application along", []string{"internal/app.TestAMessageBringsItsApplication", "internal/api.TestAMessageMayBringItsApplicationAlong"}},
	{"the same key with another body gets the first answer", []string{"internal/app.TestAKeyMakesARequestOnce", "internal/api.TestIdempotencyKey/a repeat gets the first answer, whatever it says"}},
	{"two requests of one key at once are made once", []string{"internal/app.TestAKeyMakesARequestOnce/at once", "internal/api.TestTwoRequestsWithOneKeyAreOneRequest"}},
	{"a key holds for POST only, a new one makes the request again", []string{"internal/app.TestAKeyMakesARequestOnce/for POST only", "internal/api.TestIdempotencyKey/it is for POST only"}},
	{"as many attempts as the schedule has, and one; code 0 without an answer", []string{"internal/app.TestAttemptsByWhatTheReceiverAnswers/does not listen"}},
	{"an empty schedule is one attempt", []string{"internal/app.TestAttemptsByWhatTheReceiverAnswers/fails, and is not tried again"}},
	{"a message stands exactly one way", []string{"internal/app.TestHowAMessageStandsWhileItIsTried", "internal/api.TestAMessageStandsExactlyOneWay"}},
	{"iterators walk both ways without gap or repeat", []string{"internal/app.TestListsHoldUnderConcurrentInserts", "internal/api.TestListsGoForwardAndBackWithoutGapOrRepeat", "internal/api.TestAttemptedListsGoForwardAndBack"}},
	{"an expunged answer reads EXPUNGED", []string{"internal/app.TestExpungedContentIsGone", "internal/api.TestAnAnswerToAnAttemptIsExpunged"}},
	{"a 308 is a failure, and its target never visited", []string{"internal/app.TestARedirectIsNotFollowed", "internal/egress.TestARedirectIsAnAnswer"}},
	{"messages that run out over days disable an endpoint", []string{"internal/engine.TestAnEndpointThatFailsForDaysIsDisabled/after five days of exhausted messages"}},
	{"a success between clears the clock", []string{"internal/engine.TestAnEndpointThatFailsForDaysIsDisabled/not with a success between"}},
	{"failures that are far apart do not disable", []string{"internal/engine.TestAnEndpointThatFailsForDaysIsDisabled/not when failures are far apart"}},
	{"a recovery from after the failure adds nothing, from before it one attempt", []string{"internal/app.TestARecoveryMakesOneAttemptMore"}},
	{"a recovery from more than 14 days ago is 422", []string{"internal/api.TestRecoverRefusals", "clients/go.TestRecoverAndReplay"}},
	{"after two rotations all three secrets verify, also of different schemes", []string{"internal/app.TestAMessageIsSignedWithEverySecretThatIsLive", "internal/engine.TestRotatedSecretsSignUntilTheirTimeIsOver"}},
	{"too many live old secrets are 400 until one has ended", []string{"internal/api.TestAtMostTenOldSecretsLive"}},
	{"secrets are unreadable at rest, and stay readable when the main key changes", []string{"internal/store/sqlite.TestSecretsAreInNoFile", "internal/store/sqlite.TestAfterARotationTheOldKeyOpensNothing", "internal/app.TestTheMainKeyIsRotatedWhileTheServerServes"}},
	{"a secret too short, too long or of a wrong prefix is 422", []string{"internal/api.TestEndpointRefusals", "internal/api.TestRotateRefusals"}},
	{"who gets a message follows filters of types and channels", []string{"internal/app.TestEndpointsGetWhatTheyFilterFor", "internal/api.TestAMessageGoesToTheEndpointsThatWantIt"}},
	{"headers: reserved names refused, null deletes, authorization hidden, and they arrive", []string{"internal/app.TestHeadersOfAnEndpointAreSentAndSecretOnesHidden", "internal/api.TestHeadersAreReplacedAndPatched"}},
	{"failing, at the fourth attempt, is told before exhausted, with the right ids", []string{"internal/app.TestTheOperatorIsTold", "internal/engine.TestTheOperatorIsToldOfMessagesThatFail"}},

	// And some more of Svix's.
	{"which addresses are allowed", []string{"internal/egress.TestOnlyPublicAddressesAreReached", "internal/egress.TestForbiddenAddressesAreNotDialled"}},
	{"localhost is refused by name and by number", []string{"internal/api.TestPrivateAddresses", "internal/egress.TestANameThatChangesItsAnswerIsJudgedWhereItLeads"}},
	{"thousands of tasks are each done once, and nobody starves", []string{"internal/cli.TestKillsAmid20000MessagesLoseNone", "internal/engine.TestOneApplicationLeavesPlacesForTheOthers"}},
	{"work that cannot be done for now is done later", []string{"internal/engine.TestATaskOutlastsTroubleOfTheStore", "internal/engine.TestWhatCannotBeRecordedIsKeptAndNothingNewIsStarted"}},
	{"a message after the endpoint was deleted is 202, and nothing is sent", []string{"internal/app.TestADeletedEndpointGetsNothing", "internal/app.TestNothingIsSentAfterItWasForbidden"}},
	{"an application's token: its own only, others 404, writes by capability", []string{"internal/api.TestAnApplicationsTokenSeesNothingOfAnother", "internal/api.TestWhoMayCallWhat", "internal/api.TestPortalAccess", "clients/go.TestAuthentication"}},
	{"of many that migrate at once one does", []string{"internal/store/sqlite.TestASecondOwnerOfAFolderIsRefused", "internal/store/sqlite.TestMigrationsRunOnce"}},
	{"https only where that is wanted", []string{"internal/api.TestDevAllowsHTTPForHTTPSOnlyDialects"}},
	{"an example is sent", []string{"internal/app.TestAnExampleGoesToOneEndpoint", "internal/api.TestSendExample"}},
	{"Retry-After is honoured", []string{"internal/engine.TestRetryAfterIsHonouredBetweenThePlannedWaitAndTwiceIt"}},

	// And of Hook0's.
	{"headers are readable though a value is no UTF-8", []string{"internal/app.TestAHeaderThatIsNoTextDoesNotHideAnAnswer"}},
	{"a signature of one scheme does not pass for another; what lacks a header that is signed is refused", []string{"dialect/standard.TestReceiveRefuses", "dialect/standard.TestVectors"}},
	{"a moment at the edge of the window is accepted", []string{"dialect/standard.TestVectors"}},
	{"a connection that ends frees its place", []string{"internal/app.TestEveryConnectionThatEndsIsForgotten"}},
}

// TestEveryCaseOfSvixHasItsTests fails when a test that the table names is not there any more.
func TestEveryCaseOfSvixHasItsTests(t *testing.T) {
	known := map[string]map[string]*testNames{}
	used := map[string]bool{}
	for i, c := range svixCases {
		if len(c.tests) == 0 || used[c.what] {
			t.Errorf("case %d, %s: has no test, or is there twice", i+1, c.what)
		}
		used[c.what] = true
		for _, ref := range c.tests {
			folder, rest, _ := strings.Cut(ref, ".")
			name, part, _ := strings.Cut(rest, "/")
			if known[folder] == nil {
				known[folder] = testsIn(t, filepath.Join("..", "..", folder))
			}
			found := known[folder][name]
			switch {
			case found == nil:
				t.Errorf("case %d, %s: there is no %s", i+1, c.what, ref)
			case part != "" && !found.texts[part]:
				t.Errorf("case %d, %s: %s has no part %q, but %q", i+1, c.what, name, part, slices.Sorted(maps.Keys(found.texts)))
			}
		}
	}
	if len(svixCases) < 40 {
		t.Errorf("only %d cases", len(svixCases))
	}
}

// testNames are the texts in a test, among them the names of its parts.
type testNames struct{ texts map[string]bool }

// testsIn are the tests of a folder by their names.
func testsIn(t *testing.T, folder string) map[string]*testNames {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*testNames{}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, f.Name()), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") {
				continue
			}
			names := &testNames{map[string]bool{}}
			ast.Inspect(fn, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if text, err := strconv.Unquote(lit.Value); err == nil {
						names.texts[text] = true
					}
				}
				return true
			})
			out[fn.Name.Name] = names
		}
	}
	return out
}
