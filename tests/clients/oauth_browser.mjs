// What a person does in a browser at oidc-provider's pages for developers: logs in, and consents. Gives the parameters of the redirect back to the client.
export async function authorize(url, login) {
  const jar = new Map();
  const send = async (target, options = {}) => {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(target, { ...options, redirect: 'manual', headers: { ...options.headers, cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      jar.set(name, value);
    }
    return response;
  };
  let [target, options] = [new URL(url), undefined];
  for (let step = 0; step < 20; step++) {
    const response = await send(target, options);
    const location = response.headers.get('location');
    if (location) {
      const next = new URL(location, target);
      if (next.searchParams.has('code') || next.searchParams.has('error')) return next.searchParams;
      [target, options] = [next, undefined];
      continue;
    }
    const page = await response.text();
    const action = /action="([^"]+)"/.exec(page)?.[1];
    if (!action) throw new Error(`no form at ${target}: ${response.status} ${page}`);
    const prompt = /name="prompt" value="([^"]+)"/.exec(page)?.[1];
    const body = new URLSearchParams({ prompt, ...(prompt === 'login' ? { login, password: 'x' } : {}) });
    [target, options] = [new URL(action, target), { method: 'POST', body }];
  }
  throw new Error('the authorization server sends in circles');
}
