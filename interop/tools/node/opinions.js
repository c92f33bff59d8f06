// Second opinions from the npm registry: SCIMMY, scim-patch, scim2-parse-filter
// and scim-query-filter-parser filter and patch the same resources as the
// server, and SCIMMY reads and writes the messages.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const {isDeepStrictEqual} = require('node:util');

const SCIMMY = require('scimmy').default ?? require('scimmy');
const {scimPatch} = require('scim-patch');
const parseFilter = require('scim2-parse-filter');
const {compileFilter, compileSorter} = require('scim-query-filter-parser');

const base = process.env.SCIM_URL;
const vectors = (name) => JSON.parse(fs.readFileSync(path.join(process.env.SCIM_VECTORS, name), 'utf8'));

const report = (check, problem) =>
	process.stdout.write(JSON.stringify({check, ok: !problem, detail: problem || ''}) + '\n');

// attempt reports an exception as the finding of a check.
async function attempt(check, work) {
	try {
		report(check, await work());
	} catch (e) {
		report(check, `${e.name}: ${e.message}`);
	}
}

async function send(method, url, body) {
	const response = await fetch(base + url, {
		method,
		headers: {authorization: `Bearer ${process.env.SCIM_TOKEN}`, 'content-type': 'application/scim+json'},
		body: body === undefined ? undefined : JSON.stringify(body),
	});
	const text = await response.text();
	return {status: response.status, headers: response.headers, body: text ? JSON.parse(text) : undefined};
}

const names = (users) => JSON.stringify(users.map((u) => u.userName).sort());

// What each library selects. A library that throws takes the filter for wrong, unless it is a TypeError: then it has
// stumbled over its own feet, and has no opinion.
const filtering = {
	'scimmy': (filter, users) => new SCIMMY.Types.Filter(filter).match(users),
	'scim2-parse-filter': (filter, users) => users.filter(parseFilter.filter(parseFilter.parse(filter))),
	'scim-query-filter-parser': (filter, users) => users.filter(compileFilter(filter)),
};

async function filters(users) {
	for (const filter of vectors('filters.json')) {
		const answer = await send('GET', `/Users?filter=${encodeURIComponent(filter)}`);
		const ours = answer.status === 200 ? names(answer.body.Resources) : `${answer.status} ${answer.body.scimType}`;
		for (const [library, select] of Object.entries(filtering)) {
			let theirs;
			try {
				theirs = names(select(filter, structuredClone(users)));
			} catch (e) {
				if (e instanceof TypeError) continue;
				theirs = '400 invalidFilter';
			}
			report(`${library}: filter ${filter}`, ours === theirs ? '' : `the server says ${ours}, the library ${theirs}`);
		}
	}
}

async function sorting(users) {
	for (const by of ['userName', 'name.familyName', 'externalId', 'title']) {
		for (const order of ['ascending', 'descending']) {
			const answer = await send('GET', `/Users?sortBy=${by}&sortOrder=${order}`);
			const has = (u) => by.split('.').reduce((v, k) => v?.[k], u) !== undefined;
			const ours = JSON.stringify(answer.body.Resources.filter(has).map((u) => u.userName));
			const sorted = users.filter(has).sort(compileSorter(by));
			const theirs = JSON.stringify((order === 'ascending' ? sorted : sorted.reverse()).map((u) => u.userName));
			report(`scim-query-filter-parser: sort by ${by}, ${order}`, ours === theirs ? '' : `the server says ${ours}, the library ${theirs}`);
		}
	}
}

// plain is a resource as the libraries compare it: what the server alone knows
// is left out, and nothing is as good as an empty list.
function plain(resource) {
	const {meta, groups, ...rest} = structuredClone(resource);
	for (const [key, value] of Object.entries(rest)) {
		if (Array.isArray(value) && value.length === 0) delete rest[key];
	}
	rest.schemas?.sort();
	return rest;
}

const patching = {
	'scimmy': async (resource, operations) => {
		const message = new SCIMMY.Messages.PatchOp({schemas: [SCIMMY.Messages.PatchOp.id], Operations: operations});
		const result = await message.apply(new SCIMMY.Schemas.User(resource, 'out'));
		return result === undefined ? resource : JSON.parse(JSON.stringify(result));
	},
	'scim-patch': async (resource, operations) => scimPatch(resource, operations),
};

async function patches(user) {
	for (const {name, operations} of vectors('patches.json')) {
		const copy = {...structuredClone(user), userName: 'patched@example.com', externalId: 'P-1'};
		delete copy.id;
		copy.emails[0].value = copy.userName;
		const {status, body: created} = await send('POST', '/Users', copy);
		if (status !== 201) throw new Error(`creating ${copy.userName}: ${status} ${created?.detail}`);
		const location = `/Users/${created.id}`;
		const answer = await send('PATCH', location, {schemas: [SCIMMY.Messages.PatchOp.id], Operations: operations});
		const after = (await send('GET', location)).body;
		for (const [library, patch] of Object.entries(patching)) {
			const ours = answer.status < 300 ? plain(after) : {refused: true};
			let theirs;
			try {
				theirs = plain(await patch(structuredClone(created), structuredClone(operations)));
			} catch (e) {
				if (e instanceof TypeError) continue;
				theirs = {refused: true, message: e.message};
			}
			report(`${library}: patch: ${name}`, ours.refused && theirs.refused || isDeepStrictEqual(ours, theirs) ? '' : difference(ours, theirs, answer));
		}
		await send('DELETE', location);
	}
}

// difference names the attributes that differ.
function difference(ours, theirs, answer) {
	if (ours.refused) return `the server says ${answer.status} ${answer.body?.scimType}: ${answer.body?.detail}; the library does it`;
	if (theirs.refused) return `the library refuses it, the server does it: ${theirs.message}`;
	const keys = [...new Set([...Object.keys(ours), ...Object.keys(theirs)])].sort();
	return keys.filter((k) => !isDeepStrictEqual(ours[k], theirs[k]))
		.map((k) => `${k} is ${JSON.stringify(ours[k])}, of the library ${JSON.stringify(theirs[k])}`).join('; ');
}

// messages has SCIMMY read what the server answers.
async function messages() {
	await attempt('scimmy: ServiceProviderConfig', async () => {
		const {body} = await send('GET', '/ServiceProviderConfig');
		new SCIMMY.Schemas.ServiceProviderConfig(body, 'in');
	});
	await attempt('scimmy: ResourceTypes', async () => {
		const {body} = await send('GET', '/ResourceTypes');
		for (const type of body.Resources) new SCIMMY.Schemas.ResourceType(type, 'in');
		if (new SCIMMY.Messages.ListResponse(body).totalResults !== 2) return 'not two types';
	});
	await attempt('scimmy: Schemas', async () => {
		const {body} = await send('GET', '/Schemas');
		const own = {User: SCIMMY.Schemas.User, Group: SCIMMY.Schemas.Group, EnterpriseUser: SCIMMY.Schemas.EnterpriseUser};
		const problems = [];
		for (const schema of Object.values(own)) {
			const theirs = schema.definition.describe();
			const ours = body.Resources.find((s) => s.id === theirs.id);
			if (!ours) problems.push(`${theirs.id} is missing`);
			else problems.push(...undefinedAttributes(theirs.attributes, ours.attributes, theirs.name));
		}
		return problems.join('; ');
	});
	await attempt('scimmy: User', async () => {
		const {body} = await send('GET', '/Users');
		new SCIMMY.Messages.ListResponse(body);
		for (const user of body.Resources) new SCIMMY.Schemas.User(user, 'in');
	});
	await attempt('scimmy: Group', async () => {
		const {body: users} = await send('GET', '/Users');
		const {status, body} = await send('POST', '/Groups', {schemas: [SCIMMY.Schemas.Group.definition.id], displayName: 'All', members: users.Resources.map((u) => ({value: u.id}))});
		if (status !== 201) return `status ${status}`;
		const group = new SCIMMY.Schemas.Group(body, 'in');
		if (group.members.length !== users.Resources.length) return `${group.members.length} members`;
		await send('DELETE', `/Groups/${body.id}`);
	});
	await attempt('scimmy: Error', async () => {
		const {status, body} = await send('GET', '/Users/none');
		try {
			new SCIMMY.Messages.Error(body); // it throws what it reads
		} catch (e) {
			if (status === 404 && Number(e.status) === 404 && e.message === body.detail) return;
			return `${status}, ${e.status}, ${e.message}`;
		}
		return 'it was no error';
	});
	await attempt('scimmy: SearchRequest', async () => {
		const request = new SCIMMY.Messages.SearchRequest();
		const {status, body} = await send('POST', '/Users/.search', request.prepare({filter: 'userName sw "a"', count: 2}));
		if (status !== 200) return `status ${status}: ${body?.detail}`;
		new SCIMMY.Messages.ListResponse(body);
	});
	await attempt('scimmy: BulkRequest', async () => {
		const {status, body} = await send('POST', '/Bulk', {
			schemas: [SCIMMY.Messages.BulkRequest.id], failOnErrors: 1,
			Operations: [{method: 'POST', path: '/Users', bulkId: 'b1', data: {schemas: [SCIMMY.Schemas.User.definition.id], userName: 'bulk@example.com'}}],
		});
		if (status !== 200) return `status ${status}: ${body?.detail}`;
		const [made] = new SCIMMY.Messages.BulkResponse(body).Operations;
		if (made.bulkId !== 'b1' || made.status !== '201') return JSON.stringify(made);
		await send('DELETE', made.location.slice(base.length));
	});
}

// undefinedAttributes names what a library's schema defines otherwise.
function undefinedAttributes(theirs, ours, at) {
	const problems = [];
	for (const attribute of theirs) {
		const own = ours.find((a) => a.name === attribute.name);
		if (!own) {
			problems.push(`${at}.${attribute.name} is missing`);
			continue;
		}
		for (const key of ['type', 'multiValued', 'required', 'caseExact', 'mutability', 'returned', 'uniqueness']) {
			if (attribute[key] !== undefined && own[key] !== undefined && own[key] !== attribute[key]) {
				problems.push(`${at}.${attribute.name}.${key} is ${own[key]}, of the library ${attribute[key]}`);
			}
		}
		if (attribute.subAttributes) problems.push(...undefinedAttributes(attribute.subAttributes, own.subAttributes ?? [], `${at}.${attribute.name}`));
	}
	return problems;
}

(async () => {
	SCIMMY.Schemas.User.extend(SCIMMY.Schemas.EnterpriseUser);
	for (const user of vectors('users.json')) {
		const {status, body} = await send('POST', '/Users', user);
		if (status !== 201) throw new Error(`creating ${user.userName}: ${status} ${body?.detail}`);
	}
	const users = (await send('GET', '/Users')).body.Resources;
	await filters(users);
	await sorting(users);
	await patches(users.find((u) => u.externalId === 'A-1'));
	await messages();
})().catch((e) => {
	console.error(e);
	process.exit(1);
});
