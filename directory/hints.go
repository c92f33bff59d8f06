package directory

import (
	"slices"
	"strings"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

// Hint says, to the customer's administrator, what a line of the request log
// asks of them: what to mend, and where in the provider's console (rule D8). Of
// a success it is about what was left out, not passed on or tolerated; it is ""
// where there is nothing to do. For [scim.Auto] and [scim.Strict], which name no
// provider, it speaks of any.
//
// The text is English, in a few sentences. Consoles change: it names menus as
// they are called at the time of writing. What is special about the one request
// is in the entry's Detail.
func Hint(entry *scim.LogEntry, provider scim.Dialect) string {
	at := consoleOf(provider)
	switch {
	case entry.Reason == "" && entry.Status >= 500: // a line from before there were reasons
		return at.expand(reasonHint(scim.ReasonInternal, provider))
	case entry.Reason != "" || entry.Status >= 400:
		return at.expand(reasonHint(entry.Reason, provider))
	}
	var hints []string
	if n := len(entry.Unknown); n > 0 {
		hints = append(hints, at.expand(noteUnknown))
	}
	if entry.Withheld != 0 {
		hints = append(hints, strings.ReplaceAll(noteWithheld, "{parts}", partsOf(entry.Withheld)))
	}
	for _, note := range toleranceNotes {
		if entry.Fired.Has(note.fired) && (note.only == nil || slices.Contains(note.only, provider)) && !slices.Contains(note.never, provider) {
			hints = append(hints, at.expand(note.text))
		}
	}
	if len(hints) == 0 && len(entry.Ignored) > 0 {
		hints = append(hints, at.expand(noteIgnored))
	}
	const most = 2
	return strings.Join(hints[:min(len(hints), most)], " ")
}

// reasonHint returns the text for a reason, with places to be filled in. What a
// host has refused for a reason of its own has the text of all its refusals.
func reasonHint(reason scim.Reason, provider scim.Dialect) string {
	if text := providerHints[reason][provider]; text != "" {
		return text
	}
	if text := reasonHints[reason]; text != "" {
		return text
	}
	return reasonHints[scim.ReasonHost]
}

// partsOf names switches in words.
func partsOf(s scim.Switches) string {
	var parts []string
	for _, part := range []struct {
		of   scim.Switches
		name string
	}{
		{scim.CreateUsers, "new people"},
		{scim.UpdateAttributes, "changed attributes"},
		{scim.DeactivateUsers, "deactivations"},
		{scim.SyncGroups, "groups"},
	} {
		if s.Has(part.of) {
			parts = append(parts, part.name)
		}
	}
	return strings.Join(parts, ", ")
}

// A console is where an administrator finds things at a provider.
type console struct {
	name    string // of the provider, as in "in Okta"
	token   string // where URL and token stand
	mapping string // where attributes are mapped
	assign  string // where people are assigned to the application
	groups  string // where groups are
	again   string // what makes the provider send again: an instruction
}

// consoleOf returns the provider's console, or words for any.
func consoleOf(provider scim.Dialect) console {
	if c, known := consoles[provider]; known {
		return c
	}
	return anyConsole
}

// expand puts the console's words into a text.
func (c console) expand(text string) string {
	return strings.NewReplacer("{idp}", c.name, "{token}", c.token, "{mapping}", c.mapping, "{assign}", c.assign, "{groups}", c.groups, "{again}", c.again).Replace(text)
}

var anyConsole = console{
	name:    "the identity provider",
	token:   "the SCIM connection's settings",
	mapping: "the attribute mapping of the application",
	assign:  "the assignments of the application",
	groups:  "the group settings of the application",
	again:   "have the provider synchronize again",
}

var consoles = map[scim.Dialect]console{
	scim.Okta: {
		name: "Okta", token: "Provisioning > Integration", mapping: "Provisioning > To App > Attribute Mappings", assign: "Assignments", groups: "Push Groups",
		again: "choose Retry Selected under Dashboard > Tasks",
	},
	scim.Entra: {
		name: "Entra ID", token: "Provisioning > Admin Credentials", mapping: "Provisioning > Mappings", assign: "Users and groups", groups: "Users and groups",
		again: "use Provision on demand",
	},
	scim.Google: {
		name: "Google Workspace", token: "Autoprovisioning of the app", mapping: "Autoprovisioning > Attribute mapping", assign: "Autoprovisioning > Provisioning scope", groups: "Autoprovisioning > Provisioning scope",
		again: "wait until Google sends it again",
	},
	scim.OneLogin: {
		name: "OneLogin", token: "the app's Configuration", mapping: "the app's Parameters", assign: "the app's Users", groups: "the app's Rules",
		again: "choose Retry at the person under the app's Users",
	},
	scim.JumpCloud: {
		name: "JumpCloud", token: "Identity Management of the app", mapping: "Identity Management > Attribute Mapping", assign: "User Groups of the app", groups: "User Groups of the app",
		again: "save the person once more under Users",
	},
	scim.Authentik: {
		name: "authentik", token: "Applications > Providers > the SCIM provider", mapping: "Property Mappings of the SCIM provider", assign: "the bindings of the application", groups: "the group filter of the SCIM provider",
		again: "choose Run sync again at the SCIM provider",
	},
	scim.Keycloak: {
		name: "Keycloak", token: "the SCIM client's settings in the realm", mapping: "the SCIM client's attribute settings", assign: "the users of the realm", groups: "the groups of the realm",
		again: "start the SCIM client's synchronization",
	},
	scim.CyberArk: {
		name: "CyberArk Identity", token: "Web Apps > the app > Provisioning", mapping: "Web Apps > the app > Provisioning", assign: "Permissions of the app", groups: "Provisioning > Role Mappings",
		again: "choose Start Sync under Settings > Users > Outbound Provisioning",
	},
	scim.SailPoint: {
		name: "SailPoint", token: "Connections > Sources > the source > Connection Settings", mapping: "the source's Create Account profile", assign: "the access profiles of the source", groups: "the source's entitlements",
		again: "let the source provision again",
	},
	scim.WSO2: {
		name: "WSO2 Identity Server", token: "Connections > the connection > Outbound Provisioning", mapping: "the attributes of the outbound connector", assign: "the outbound provisioning of the application", groups: "the outbound provisioning roles",
		again: "save the person once more in the console",
	},
	scim.Salesforce: {
		name: "Salesforce", token: "Connected Apps > the app > User Provisioning", mapping: "the app's User Provisioning > Attribute Mapping", assign: "the app's profiles and permission sets", groups: "the app's permission sets",
		again: "run user provisioning of the app again",
	},
	scim.Ping: {
		name: "Ping", token: "the connection's Configuration (PingFederate: the target of Outbound Provisioning)", mapping: "Attribute Mapping of the rule or channel", assign: "the filter of the rule or channel", groups: "the groups of the rule or channel",
		again: "save the provisioning rule or channel once more",
	},
	scim.Rippling: {
		name: "Rippling", token: "the app's SCIM settings", mapping: "the app's attribute settings", assign: "the app's access rules", groups: "the app's group settings",
		again: "have Rippling sync the app again",
	},
}

// reasonHints are the texts for any provider.
var reasonHints = map[scim.Reason]string{
	scim.ReasonSyntax:          "The request is not what SCIM 2.0 asks for. Check in {token} that SCIM 2.0 is chosen and that the base URL is exactly the one of the guide. If it goes on, give this line to the application's support.",
	scim.ReasonSchema:          "A value is not what its attribute allows: the detail names it. Correct it at the person or group in {idp}, or how it is mapped in {mapping}; then {again}.",
	scim.ReasonFilter:          "The request asks for an attribute that does not exist here. Match people by userName and groups by displayName, and map only attributes of the guide: see {mapping}.",
	scim.ReasonNotFound:        "The person or group is not here any more, or never was. If access is wanted, take it out of {assign} and assign it again, so that {idp} creates it.",
	scim.ReasonVersion:         "Two changes of the same person or group met. Usually it is sent again and nothing is to be done; otherwise {again}.",
	scim.ReasonExists:          "Somebody or some group here has the same value already: the detail names the attribute. Look in {idp} for a person or group that is there twice, and correct or remove one of the two; then {again}.",
	scim.ReasonNoEmail:         "The person has no email. Fill it in at the person in {idp}, or map an attribute that has one to emails in {mapping}; then {again}.",
	scim.ReasonEmailImmutable:  "Provisioning does not change emails here. Approve the new one in the application, where it is listed for review, then {again}; or put the old one back in {idp}.",
	scim.ReasonDomain:          "The email, or a userName in the form of one, is outside your registered domains. Register the domain in the application, or take the person out of {assign}.",
	scim.ReasonNoDomains:       "You have not registered a domain yet, so nobody can be provisioned. Add and verify your email domain in the application; then {again}.",
	scim.ReasonExistingAccount: "The application has an account for this person that it does not hand over. Ask an administrator of the application to look at it, or take the person out of {assign}.",
	scim.ReasonUnknownMember:   "The group has a member who is not provisioned. Assign everybody in the group first, in {assign}; then send the group again from {groups}.",
	scim.ReasonLastAdmin:       "This would leave you without an administrator in the application. Make somebody else an administrator first; then {again}.",
	scim.ReasonProtected:       "The account has a protected role, such as owner, which provisioning does not touch. Change that role in the application first, or leave the person as they are in {idp}.",
	scim.ReasonMassChange:      "Very many people would lose access at once, so it waits. If that is a mistake, correct it in {assign}. If it is meant, confirm it in the application; then {again}.",
	scim.ReasonDisabled:        "Provisioning is paused or ended for this directory in the application. Switch it on there if it is wanted, then {again}; otherwise switch it off in {idp} too.",
	scim.ReasonSeats:           "There is no free seat. Free one or get more in the application, then {again}; or take the person out of {assign}.",
	scim.ReasonToken:           "The token is missing, wrong, expired or revoked. Make a new one in the application and put it into {token}.",
	scim.ReasonScope:           "The token may not do this. Make one in the application that may read and write what {idp} provisions, and put it into {token}.",
	scim.ReasonLimit:           "The request is too large, or too many come at once. What comes too fast is sent again more slowly. If the same line comes again, provision smaller groups, or fewer at a time, in {groups}.",
	scim.ReasonUnavailable:     "The application could not answer just then. It is usually sent again, and nothing is to be done; otherwise {again}.",
	scim.ReasonHost:            "The application refused this: the detail says why. Once the cause is gone, {again}.",
	scim.ReasonInternal:        "The application failed, which its operators can see. It is usually sent again. If the line comes again, give it to the application's support.",
}

// providerHints are the texts for providers where there is more to say.
var providerHints = map[scim.Reason]map[scim.Dialect]string{
	scim.ReasonSyntax: {
		scim.Entra:    "The request is not what SCIM 2.0 asks for. In Provisioning > Admin Credentials end the Tenant URL with ?aadOptscim062020, which makes Entra ID follow the standard; then test the connection and restart provisioning.",
		scim.OneLogin: "The request is not what SCIM 2.0 asks for. Compare the SCIM JSON Template in the app's Configuration with that of the guide, and use the app for SCIM v2; then choose Retry at the person under the app's Users.",
		scim.Rippling: "The request is not what SCIM 2.0 asks for. Check in the app's SCIM settings that SCIM 2.0 and \"Use PATCH to edit groups\" are ticked, and that the base URL is the one of the guide.",
	},
	scim.ReasonSchema: {
		scim.OneLogin: "A value is not what its attribute allows: the detail names it. Correct it at the user, or the macro that makes it in the app's Parameters or in the SCIM JSON Template; then choose Retry at the person under the app's Users.",
	},
	scim.ReasonFilter: {
		scim.Entra: "A mapping uses an attribute that does not exist here. In Provisioning > Mappings remove attributes that the guide does not list, and match on userName or externalId (users) and displayName (groups); then use Provision on demand.",
		scim.Ping:  "The filter that finds people names an attribute that does not exist here. Set the Unique User Identifier, or the filter expression for users, so that it compares userName.",
	},
	scim.ReasonNotFound: {
		scim.Okta:  "The person or group is not here any more. In Assignments remove the person and assign them again; for a group, unlink it in Push Groups and push it again.",
		scim.Entra: "The person or group is not here any more, but Entra ID remembers it. Choose Restart provisioning: the first cycle after that looks for everybody again and creates who is missing.",
	},
	scim.ReasonExists: {
		scim.Okta:  "Somebody or some group here has the same value already: the detail names it. For a person, look for a second one with that userName under Assignments; for a group, choose Link group in Push Groups instead of a new one.",
		scim.Entra: "The value is taken: the detail names it. In Provisioning > Mappings the matching attribute must be the one that is unique (userName, for groups displayName), so that Entra ID finds who is there; then use Provision on demand.",
	},
	scim.ReasonNoEmail: {
		scim.Entra:    "The person has no email: mail is empty in Entra ID without Exchange. In Provisioning > Mappings map userPrincipalName to emails[type eq \"work\"].value; then use Provision on demand.",
		scim.Okta:     "The person has no email. Fill in Primary email in the profile under Directory > People, and see that email is mapped in Provisioning > To App > Attribute Mappings; then choose Retry Selected under Dashboard > Tasks.",
		scim.OneLogin: "The person has no email: the macro {$user.email} was empty. Fill in the email at the user, and see that the SCIM JSON Template in the app's Configuration sends it; then choose Retry under the app's Users.",
	},
	scim.ReasonDomain: {
		scim.Entra:  "The email or the user name is outside your registered domains; that of a guest, with #EXT#, always is. Register the domain in the application, or leave guests out with a scoping filter: Provisioning > Mappings > Source Object Scope.",
		scim.Google: "The email is outside your registered domains: perhaps a secondary domain of Google Workspace. Register it in the application, or leave the person out in Autoprovisioning > Provisioning scope.",
	},
	scim.ReasonUnknownMember: {
		scim.Okta:  "The group has a member who is not assigned to the app. Assign everybody under Assignments first, by another group than the one you push; then choose Push now at the group in Push Groups.",
		scim.Entra: "The group has a member who is not provisioned yet. Assign the person, or the group directly, in Users and groups (nested groups are not followed); the next cycle, in about 40 minutes, sends the member again.",
	},
	scim.ReasonToken: {
		scim.Okta:      "The token is missing, wrong, expired or revoked. Make a new one in the application, put it into Provisioning > Integration > Edit as the API token or OAuth bearer token, test and save.",
		scim.Entra:     "The token is missing, wrong, expired or revoked. Make a new one in the application, put it into Provisioning > Admin Credentials > Secret Token, test the connection and save.",
		scim.OneLogin:  "The token is missing, wrong, expired or revoked. Make a new one in the application, put it into SCIM Bearer Token in the app's Configuration, and see that API Status is Enabled.",
		scim.JumpCloud: "The token is missing, wrong, expired or revoked. Make a new one in the application, put it into Token Key under Identity Management of the app, and choose Test Connection.",
		scim.Authentik: "The token is missing, wrong, expired or revoked. Make a new one in the application and put it into the Token field under Applications > Providers > the SCIM provider.",
	},
	scim.ReasonLimit: {
		scim.Okta:  "The request is too large, or too many come at once. What comes too fast Okta sends again by itself. If it is a group, push it again with Push now in Push Groups, a few groups at a time.",
		scim.Entra: "The request is too large, or too many come at once. Entra ID slows down and sends them again in its next cycle; nothing is to be done unless the same line comes again every time.",
	},
	scim.ReasonUnavailable: {
		scim.Entra: "The application could not answer just then. Entra ID sends it again in its next cycle, in about 40 minutes. If provisioning is in quarantine, choose Restart provisioning.",
	},
	scim.ReasonInternal: {
		scim.Entra: "The application failed, which its operators can see. Entra ID sends it again in its next cycles. If the line comes again, give it to the application's support, and choose Restart provisioning if it went into quarantine.",
	},
}

// What is said of successes.
const (
	noteUnknown  = "Members who are not provisioned were left out of the group. Assign them in {assign}; then send it again from {groups}."
	noteWithheld = "Not passed on to the application, where it is switched off: {parts}. What gathers is passed on as soon as it is on again."
	noteIgnored  = "Attributes were sent that do not exist here, and ignored. Nothing is to be done; to keep the log quiet, take them out of {mapping}."
)

// toleranceNotes are tolerances that an administrator can make unnecessary, or
// that may hide a mistake.
var toleranceNotes = []struct {
	fired attr.Lenience
	only  []scim.Dialect // nil: all
	never []scim.Dialect // they cannot do otherwise
	text  string
}{
	{fired: attr.OperationCase, only: []scim.Dialect{scim.Entra}, text: entraFlag},
	{fired: attr.EmptySegment, never: []scim.Dialect{scim.CyberArk}, text: "The base URL ends with a slash, or has a double one. It works; take it away in {token}."},
	{fired: attr.BareToken, never: []scim.Dialect{scim.Okta}, text: "The token came without the word Bearer before it. It works; choose bearer authentication in {token} if that is offered."},
	{fired: attr.SecondPrimary, text: "Several values were marked as primary, and the first was taken. Mark one alone in {mapping}."},
	{fired: attr.Blank, only: []scim.Dialect{scim.OneLogin}, text: "Some values were blank, because a macro had nothing to fill in, and were taken for missing. Fill them in at the user, or take them out of the SCIM JSON Template."},
	{fired: attr.DoubleEncoded, text: "A search was encoded twice, and understood all the same. If a proxy stands between, see that it leaves URLs alone."},
}

const entraFlag = "It works, but Entra ID does not follow the standard here. In {token} end the Tenant URL with ?aadOptscim062020."
