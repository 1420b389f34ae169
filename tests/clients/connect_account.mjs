// What a person does with a link to connect an account: reads the page, goes on, logs in, and comes back.
// usage: node connect_account.mjs LINK LOGIN [other]; prints one line of JSON: the page, and what the last page says. With "other" the last page is opened in another browser.
import { authorize } from './oauth_browser.mjs';

const [link, login, other] = process.argv.slice(2);
const first = await fetch(link);
const page = await first.text();
const unescaped = (text) => text.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
const href = /href="([^"]+)"/.exec(page)?.[1];
if (!first.ok || !href) {
  console.log(JSON.stringify({ status: first.status, page }));
  process.exit(0);
}
const cookie = first.headers.getSetCookie().map((line) => line.split(';')[0]).join('; ');
const target = new URL(unescaped(href));
const parameters = await authorize(target.href, login);
const back = new URL(target.searchParams.get('redirect_uri'));
back.search = parameters;
const last = await fetch(back, { headers: other ? {} : { cookie } });
const asked = Object.fromEntries(target.searchParams);
console.log(JSON.stringify({ status: last.status, page, last: await last.text(), asked }));
